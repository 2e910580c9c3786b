"""Fine-tunes a pretrained model on one task: AdamW, linear warm-up and decay, length buckets."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from entromask.errors import InputError
from entromask.glue.batches import (
    EncodedSplit,
    evaluation_batches,
    training_batches,
)
from entromask.glue.data import TaskData
from entromask.glue.metrics import score_predictions, split_metric, task_score
from entromask.glue.tasks import Task
from entromask.modeling.loading import LOADING
from entromask.presets import Protocol
from entromask.text.tokenizer import load_tokenizer

Progress = Callable[[int, int], None]

_CLIPPING = 1.0
# Predictions are kept for later analysis, not to be continued from: short files, exact classes.
_DECIMALS = 5


def open_model_folder(model_dir: Path) -> tuple[PretrainedConfig, PreTrainedTokenizerBase]:
    """The configuration and the tokenizer of a model folder.

    Raises:
        InputError: there is no such folder, or one of them is missing or damaged.
    """
    hint = "give a Hugging Face model folder: config.json, model.safetensors, tokenizer.json"
    if not (model_dir / "config.json").is_file():
        raise InputError(f"no model in {model_dir}: it holds no config.json", hint)
    with quiet_transformers():
        try:
            config = AutoConfig.from_pretrained(model_dir, trust_remote_code=False)
        except Exception as error:  # transformers raises many types for a folder it cannot use
            raise InputError(f"{model_dir}/config.json cannot be used: {error}", hint) from None
        tokenizer = load_tokenizer(str(model_dir))
    return config, tokenizer


def train_classifier(
    model_dir: Path,
    task: Task,
    rows: EncodedSplit,
    protocol: Protocol,
    seed: int,
    device: str | torch.device = "cpu",
    on_progress: Progress | None = None,
    ends_after: Callable[[PreTrainedModel], bool] | None = None,
) -> PreTrainedModel:
    """The model with a new head, fine-tuned on `rows`; the caller's random state is untouched.

    On one CPU the same arguments (and number of threads) give the same bytes.

    Args:
        seed: of the new classification head, the order of the rows and the dropout.
        on_progress: called with (steps done, steps).
        ends_after: asked after each epoch whether the training ends there.
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    steps = protocol.steps(len(rows))
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        model = load_classifier(model_dir, task.labels).to(device)
        if protocol.frozen_encoder:
            freeze_encoder(model)
        optimizer = make_optimizer(model, protocol)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, linear_schedule(protocol, steps))
        step = 0
        for epoch in range(protocol.epochs):
            _to_training_mode(model, protocol)
            batches = training_batches(rows.lengths, protocol.batch_size, seed, epoch)
            for batch in batches[: steps - step]:
                inputs = {name: values.to(device) for name, values in rows.batch(batch).items()}
                with _autocast(device):
                    logits = model(**inputs).logits
                loss_of(logits, rows.labels[batch].to(device)).backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), _CLIPPING)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad(set_to_none=True)
                step += 1
                if on_progress is not None:
                    on_progress(step, steps)
            if (ends_after is not None and ends_after(model)) or step == steps:
                break
    return model


def score_classifier(
    model: PreTrainedModel, data: TaskData, encoded: Mapping[str, EncodedSplit]
) -> dict[str, Any]:
    """Predicts and scores the evaluation splits.

    Returns:
        `metrics` by name, `score` (their mean), `rows`, and by split `predictions`, one list of
        logits a row (of a regression: one number), rounded, and `references`, the labels.
    """
    task = data.task
    metrics: dict[str, float] = {}
    predictions: dict[str, Any] = {}
    for split in task.evaluation:
        logits = predict(model, encoded[split])
        scores = score_predictions(task, answers(task, logits), data.references(split))
        metrics |= {split_metric(task, split, name): value for name, value in scores.items()}
        predictions[split] = kept_predictions(task, logits)
    return {
        "metrics": metrics,
        "score": task_score(metrics),
        "rows": data.rows,
        "predictions": predictions,
        "references": {split: data.references(split) for split in task.evaluation},
    }


def kept_predictions(task: Task, logits: Tensor) -> list[Any]:
    """Logits [N, labels] as a result keeps them: rounded; of a regression one number a row."""
    kept: list[Any] = _rounded((logits.squeeze(-1) if task.labels == 0 else logits).tolist())
    return kept


def answers(task: Task, logits: Tensor) -> list[float]:
    """What the logits [N, labels] say of each row: a class, or a regression's number."""
    best = logits.squeeze(-1) if task.labels == 0 else logits.argmax(-1)
    return list(best.tolist())


@torch.inference_mode()
def predict(model: PreTrainedModel, rows: EncodedSplit) -> Tensor:
    """The logits [N, labels] of all rows, in their order, float32 on the CPU."""
    device = next(model.parameters()).device
    model.eval()
    logits = torch.empty(len(rows), model.config.num_labels)
    for batch in evaluation_batches(rows.lengths):
        inputs = {name: values.to(device) for name, values in rows.batch(batch).items()}
        with _autocast(device):
            logits[torch.from_numpy(batch)] = model(**inputs).logits.float().cpu()
    return logits


def load_classifier(model_dir: Path, labels: int) -> PreTrainedModel:
    """The encoder of a model folder under a new classification head (0 labels: a regression).

    The head is drawn from torch's random state. Of a folder with a classifier, all is taken over
    that fits: its whole head for as many labels, else all but the output layer.
    """
    with LOADING, quiet_transformers():
        config = AutoConfig.from_pretrained(model_dir, trust_remote_code=False)
        kinds = config.architectures or []
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            model_dir,
            num_labels=max(1, labels),
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
            dtype=torch.float32,
            ignore_mismatched_sizes=any(
                kind.endswith("ForSequenceClassification") for kind in kinds
            ),
        )
    return model


def freeze_encoder(model: PreTrainedModel) -> None:
    """Leaves the head to be trained, and a pooler, which pretraining has not trained.

    What takes no gradient takes no backward pass either.
    """
    encoder = model.base_model
    encoder.requires_grad_(False)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler.requires_grad_(True)


def _to_training_mode(model: PreTrainedModel, protocol: Protocol) -> None:
    model.train()
    if protocol.frozen_encoder:
        # Without dropout: the head is trained on the features that it is scored with.
        model.base_model.eval()


def make_optimizer(model: nn.Module, protocol: Protocol) -> torch.optim.Optimizer:
    """AdamW over what is trained; no decay of biases and norms."""
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    others = [p for p in trained if p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": protocol.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=protocol.learning_rate, fused=True)


def linear_schedule(protocol: Protocol, steps: int) -> Callable[[int], float]:
    """The factor of the learning rate at a step: up to 1 over the warm-up, then down to 0."""
    warmup = round(protocol.warmup * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return (steps - step) / max(1, steps - warmup)

    return factor


def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, or the mean squared error where the labels are numbers."""
    if labels.is_floating_point():
        return nn.functional.mse_loss(logits.float().squeeze(-1), labels)
    return nn.functional.cross_entropy(logits.float(), labels)


def finite_loss(logits: Tensor, labels: Tensor) -> float:
    """The same as a number to be compared: infinite where it is not finite."""
    loss = loss_of(logits, labels).item()
    return loss if math.isfinite(loss) else math.inf


def _autocast(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def _rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return round(values, _DECIMALS)


@contextlib.contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' report of the new head's weights and its progress bars."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()

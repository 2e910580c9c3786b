"""Fine-tunes a pretrained model on one task: AdamW, linear warm-up and decay, length buckets."""

from __future__ import annotations

import contextlib
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
    encode_task,
    evaluation_batches,
    training_batches,
)
from entromask.glue.data import TaskData
from entromask.glue.metrics import score_predictions, split_metric, task_score
from entromask.glue.tasks import Task
from entromask.presets import Protocol
from entromask.text.tokenizer import load_tokenizer

Progress = Callable[[int, int], None]

_CLIPPING = 1.0
# Predictions are kept for later analysis, not to be continued from: short files, exact classes.
_DECIMALS = 5


def fine_tune(
    model_dir: Path,
    data: TaskData,
    protocol: Protocol,
    seed: int,
    device: str | torch.device = "cpu",
    on_progress: Progress | None = None,
    encoded: Mapping[str, EncodedSplit] | None = None,
) -> dict[str, Any]:
    """Fine-tunes on the training split and scores the evaluation splits.

    On one CPU the same arguments (and number of threads) give the same bytes.

    Args:
        model_dir: a Hugging Face folder with model and tokenizer, of any architecture.
        seed: of the new classification head, the order of the rows and the dropout.
        on_progress: called with (steps done, steps).
        encoded: the task as `encode_task` gives it, to encode once for several seeds.

    Returns:
        `metrics` by name, `score` (their mean), `rows`, and `predictions`: by split one list of
        logits a row (of a regression: one number), rounded.

    Raises:
        InputError: the folder holds no model or no tokenizer.
    """
    config, tokenizer = open_model_folder(model_dir)
    if encoded is None:
        encoded = encode_task(data, tokenizer, config, protocol.max_length)
    model = train_classifier(
        model_dir, data.task, encoded["train"], protocol, seed, device, on_progress
    )
    return score_classifier(model, data, encoded)


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
) -> PreTrainedModel:
    """The model with a new head, fine-tuned on `rows`; the caller's random state is untouched."""
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    batches_an_epoch = -(-len(rows) // protocol.batch_size)
    steps = batches_an_epoch * protocol.epochs
    if protocol.max_steps is not None:
        steps = min(steps, protocol.max_steps)
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        model = load_classifier(model_dir, task.labels).to(device).train()
        optimizer = make_optimizer(model, protocol)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, linear_schedule(protocol, steps))
        epochs = range(protocol.epochs)
        batches = (b for e in epochs for b in _epoch(rows, protocol.batch_size, seed, e))
        for step, batch in zip(range(1, steps + 1), batches, strict=False):
            inputs = {name: values.to(device) for name, values in rows.batch(batch).items()}
            with _autocast(device):
                logits = model(**inputs).logits
            loss_of(logits, rows.labels[batch].to(device)).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), _CLIPPING)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            if on_progress is not None:
                on_progress(step, steps)
    return model


def score_classifier(
    model: PreTrainedModel, data: TaskData, encoded: Mapping[str, EncodedSplit]
) -> dict[str, Any]:
    """Predicts and scores the evaluation splits; the result is that of `fine_tune`."""
    task = data.task
    metrics: dict[str, float] = {}
    predictions: dict[str, Any] = {}
    for split in task.evaluation:
        logits = predict(model, encoded[split])
        best = logits.squeeze(-1) if task.labels == 0 else logits.argmax(-1)
        scores = score_predictions(task, best.tolist(), data.references(split))
        metrics |= {split_metric(task, split, name): value for name, value in scores.items()}
        kept = logits.squeeze(-1) if task.labels == 0 else logits
        predictions[split] = _rounded(kept.tolist())
    return {
        "metrics": metrics,
        "score": task_score(metrics),
        "rows": data.rows,
        "predictions": predictions,
    }


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

    The head is drawn from torch's random state.
    """
    with quiet_transformers():
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            model_dir,
            num_labels=max(1, labels),
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation="sdpa",
            dtype=torch.float32,
        )
    return model


def make_optimizer(model: nn.Module, protocol: Protocol) -> torch.optim.Optimizer:
    """AdamW; no decay of biases and norms."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
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


def _epoch(rows: EncodedSplit, batch_size: int, seed: int, epoch: int) -> Iterator[Any]:
    yield from training_batches(rows.lengths, batch_size, seed, epoch)


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

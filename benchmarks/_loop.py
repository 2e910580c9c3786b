"""The pretraining loop of this project on synthetic rows, for benchmarks of its steps."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from entromask.masking.prediction_store import open_teacher_predictions
from entromask.masking.scoring import open_teacher_scores
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import RunSpec
from entromask.text.packing import PackedCorpus
from entromask.training.device import make_accelerator
from entromask.training.pretraining import Pretraining

LENGTH = 128


@dataclass(frozen=True)
class Case:
    """A model and a batch; `target` is the ratio of the peer's time to ours to be reached."""

    layers: int
    width: int
    vocabulary: int
    batch: int = 32
    target: float | None = None

    @property
    def name(self) -> str:
        return f"{self.layers}x{self.width}/{self.vocabulary}"


def make_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words += [f"w{index}" for index in range(vocabulary - len(words))]
    ids = {word: index for index, word in enumerate(words)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(ids, unk_token="[UNK]")),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def make_rows(vocabulary: int, rows: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """[rows, 128] token ids whose frequencies fall as in natural text (Zipf)."""
    weights = 1 / np.arange(1, vocabulary - 4)
    cumulative = np.cumsum(weights / weights.sum())
    ids = 5 + np.searchsorted(cumulative, np.random.default_rng(0).random((rows, LENGTH)))
    ids = np.minimum(ids, vocabulary - 1)
    ids[:, 0], ids[:, -1] = 2, 3
    return ids.astype(np.uint16)


def make_model(case: Case) -> BertForMaskedLM:
    torch.manual_seed(0)
    return BertForMaskedLM(
        BertConfig(
            vocab_size=case.vocabulary,
            hidden_size=case.width,
            num_hidden_layers=case.layers,
            num_attention_heads=case.width // 64,
            intermediate_size=4 * case.width,
            max_position_embeddings=LENGTH,
        )
    )


def make_loop(
    case: Case,
    model: BertForMaskedLM,
    rows: np.ndarray[Any, Any],
    precision: str,
    parts: dict[str, Any],
    teacher: SparseMaskedLM | None = None,
) -> Pretraining:
    """A loop that is ready for its first step; `parts` of the spec say what it masks and distils.

    A teacher fills its stores here, so that the steps are those after the first pass.
    """
    spec = RunSpec.parse(
        {
            "model": {"architecture": "bert"},
            "teacher": {"hub": "none/asked"} if teacher is not None else None,
            "tokenizer": {"source": "train", "vocab_size": case.vocabulary},
            "pretraining": {
                "budget": {"steps": 10**6},
                "batch_size": case.batch,
                "sequence_length": LENGTH,
                "learning_rate": 1e-4,
                "precision": precision,
            },
        }
        | parts
    ).resolved()
    accelerator = make_accelerator(precision)
    counts = np.bincount(rows.reshape(-1), minlength=case.vocabulary)
    folder = Path(tempfile.mkdtemp())
    corpus = PackedCorpus(
        f"synthetic-{case.name}", rows, validation=rows[: case.batch], counts=counts, folder=folder
    )
    tokenizer, device = make_tokenizer(case.vocabulary), accelerator.device
    masking, distillation = spec.masking, spec.distillation
    store, predictions = None, None
    if masking.source == "teacher" and masking.refresh == "cached":
        assert teacher is not None
        store, _ = open_teacher_scores(teacher, corpus, tokenizer, str(masking.view), device)
    if distillation is not None and distillation.refresh == "cached":
        assert teacher is not None
        top_k = int(distillation.top_k or 0)
        predictions, _ = open_teacher_predictions(
            teacher, corpus, tokenizer, top_k, distillation.temperature, device
        )
    asked = (distillation is not None and predictions is None) or (
        masking.source == "teacher" and store is None
    )
    return Pretraining(
        spec=spec,
        model=SparseMaskedLM(model).to(device),
        tokenizer=tokenizer,
        corpus=corpus,
        store=store,
        teacher=teacher if asked else None,
        predictions=predictions,
        accelerator=accelerator,
        folder=folder / "checkpoints",
        emit=lambda *_, **__: None,
        should_stop=lambda: False,
    )


def trainer(loop: Pretraining) -> Callable[[int], float]:
    """Trains `steps` steps with the loop, after one that is not timed; the seconds of one."""

    def train(steps: int) -> float:
        loop.replica.train()
        start = 0.0
        for step in range(steps + 1):
            loop.step(1e-4)
            loop.progress.step += 1
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if step == 0:
                start = time.perf_counter()
        return (time.perf_counter() - start) / steps

    return train

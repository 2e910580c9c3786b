"""A task's rows as tokens, and batches of rows of similar length, padded to their own longest."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from entromask.glue.data import TaskData
from entromask.text.sequences import Reading, encode_sequences

Ints = np.ndarray[Any, np.dtype[np.int64]]

# Rows are sorted by length within this many batches: wide enough for nearly equal lengths in a
# batch, narrow enough that batches differ between epochs.
_BUCKET_BATCHES = 50
# Tokens of a batch without gradients; larger ones are no faster on a CPU.
_EVALUATION_TOKENS = 8192


@dataclass(frozen=True)
class EncodedSplit:
    """Tokens of N rows one after the other; row i is tokens[starts[i]:starts[i + 1]].

    `segments` (alike; None where the model has no segments) and `labels` [N] (float64 for a
    regression, else int64) belong to them. `reading` counts what was cut or not read; None for a
    subset.
    """

    tokens: Ints
    starts: Ints
    segments: Ints | None
    labels: Tensor
    pad_token: int
    reading: Reading | None = None

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ints:
        return np.diff(self.starts)

    def fingerprint(self) -> str:
        """SHA-256 of the rows and their labels."""
        digest = hashlib.sha256()
        for part in (self.tokens, self.starts, self.labels.numpy()):
            digest.update(part.tobytes())
        return digest.hexdigest()

    def subset(self, rows: Ints) -> EncodedSplit:
        """These rows alone, in this order."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        places = np.repeat(self.starts[rows] - starts[:-1], lengths) + np.arange(starts[-1])
        return EncodedSplit(
            tokens=self.tokens[places],
            starts=starts,
            segments=None if self.segments is None else self.segments[places],
            labels=self.labels[torch.from_numpy(rows)],
            pad_token=self.pad_token,
        )

    def batch(self, rows: Ints) -> dict[str, Tensor]:
        """The model's inputs [B, longest of these rows]."""
        longest = int(self.lengths[rows].max())
        inputs = {
            "input_ids": np.full((len(rows), longest), self.pad_token, dtype=np.int64),
            "attention_mask": np.zeros((len(rows), longest), dtype=np.int64),
        }
        if self.segments is not None:
            inputs["token_type_ids"] = np.zeros((len(rows), longest), dtype=np.int64)
        for place, row in enumerate(rows):
            start, end = self.starts[row], self.starts[row + 1]
            inputs["input_ids"][place, : end - start] = self.tokens[start:end]
            inputs["attention_mask"][place, : end - start] = 1
            if self.segments is not None:
                inputs["token_type_ids"][place, : end - start] = self.segments[start:end]
        return {name: torch.from_numpy(values) for name, values in inputs.items()}


def encode_task(
    data: TaskData,
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainedConfig,
    max_length: int,
    splits: Collection[str] | None = None,
) -> dict[str, EncodedSplit]:
    """Splits of a task (all, or those named) as tokens.

    Rows are truncated to `max_length` and to what the model can take.
    """
    longest = min(max_length, usable_positions(config))
    return {
        split: _encode(data, split, tokenizer, longest, _has_segments(config))
        for split in data.splits
        if splits is None or split in splits
    }


def usable_positions(config: PretrainedConfig) -> int:
    """The longest row that a model can take, in tokens."""
    positions = int(getattr(config, "max_position_embeddings", 512))
    if "roberta" in config.model_type:
        # RoBERTa counts positions from padding_idx + 1.
        positions -= config.pad_token_id + 1
    return positions


def _has_segments(config: PretrainedConfig) -> bool:
    # ModernBERT and DistilBERT have no segments; RoBERTa has one, which says nothing.
    return int(getattr(config, "type_vocab_size", 0) or 0) > 1


def _encode(
    data: TaskData, split: str, tokenizer: PreTrainedTokenizerBase, longest: int, segments: bool
) -> EncodedSplit:
    columns = data.splits[split]
    encoded = encode_sequences(tokenizer, [columns[name] for name in data.task.columns], longest)
    kind = torch.float64 if data.task.labels == 0 else torch.int64
    return EncodedSplit(
        tokens=_flat(encoded.ids),
        starts=np.cumsum([0, *(len(row) for row in encoded.ids)], dtype=np.int64),
        segments=_flat(encoded.segments) if segments else None,
        labels=torch.tensor(columns["label"], dtype=kind),
        pad_token=int(tokenizer.pad_token_id),
        reading=encoded.reading,
    )


def _flat(rows: Sequence[Sequence[int]]) -> Ints:
    return np.fromiter((token for row in rows for token in row), dtype=np.int64)


def training_batches(lengths: Ints, batch_size: int, seed: int, epoch: int) -> list[Ints]:
    """One epoch of batches (row numbers), each row once, drawn from (seed, epoch) alone."""
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    batches: list[Ints] = []
    for start in range(0, len(order), bucket := batch_size * _BUCKET_BATCHES):
        rows = order[start : start + bucket]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def evaluation_batches(lengths: Ints) -> list[Ints]:
    """All rows, the longest first, in batches of a bounded number of tokens."""
    order = np.argsort(-lengths, kind="stable")
    batches: list[Ints] = []
    start = 0
    while start < len(order):
        size = max(1, _EVALUATION_TOKENS // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches

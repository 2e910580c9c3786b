"""The examples of a data set as padded tensors: what the collator for the Trainer masks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError

Example: TypeAlias = Mapping[str, Any]
Examples: TypeAlias = Sequence[Example]

# What tells where words begin; the first that is there counts.
_WORDS = ("words", "word_ids", "offset_mapping")
# What the collator takes out of a batch, or makes anew; every other column passes through.
_TAKEN = ("input_ids", "attention_mask", "special_tokens_mask", "labels", "row_id", *_WORDS)


@dataclass(frozen=True)
class Features:
    """B examples of T tokens, each row turned so that its text begins at position 0.

    Masks and scores thus do not depend on the side of the padding, or on how much of it there is.

    Attributes:
        starts: [B] int64, where the text of each row begins in the batch that the model gets.
        rows: [B, T] int64 token ids.
        attention_mask: [B, T] int64, 1 where there is text.
        protected: [B, T] bool, never masked: what is not attended, and what a
            `special_tokens_mask` marks.
        row_ids: [B] int64, `row_id`, or a hash of the row's token ids.
        words: [B, T] bool, True where a word begins; None: nothing tells.
        gaps: [B, T] bool, True where something stands between a token and the one before it, of
            `offset_mapping`; None: not given, or something better is.
        others: the further columns, as the model gets them.
    """

    starts: Tensor
    rows: Tensor
    attention_mask: Tensor
    protected: Tensor
    row_ids: Tensor
    words: Tensor | None
    gaps: Tensor | None
    others: dict[str, Tensor]

    def turned_back(self, values: Tensor) -> Tensor:
        """Values [B, T] of positions of `rows`, where the model gets these positions."""
        return _turned(values, -self.starts)


def padded(
    examples: Sequence[Any] | Example,
    tokenizer: PreTrainedTokenizerBase,
    types: int,
    pad_to_multiple_of: int | None = None,
) -> Features:
    """The examples of one batch, each with `input_ids` and the same keys as the others.

    They are padded on the tokenizer's `padding_side`.

    Args:
        examples: mappings, or rows of token ids; or a mapping of columns, as a tokenizer gives it.
        types: V; token ids lie below it.

    Raises:
        InputError: examples that do not fit together, or that cannot be made tensors.
    """
    examples = _mappings(examples)
    texts = _token_ids(examples, types)
    lengths = [len(text) for text in texts]
    length = -(-max(lengths) // (pad_to_multiple_of or 1)) * (pad_to_multiple_of or 1)
    if tokenizer.pad_token_id is None and min(lengths) < length:
        raise InputError(
            f"the tokenizer has no padding token, and a batch has rows of {min(lengths)} tokens "
            f"to pad to {length}",
            "set tokenizer.pad_token, or cut the text into rows of one length",
        )
    keys = examples[0].keys()
    left = tokenizer.padding_side == "left"

    def column(key: str, fill: int) -> Tensor:
        return _stacked(_whole_numbers(examples, key, lengths), length, fill, left)

    rows = _stacked(texts, length, tokenizer.pad_token_id or 0, left)
    if "attention_mask" in keys:
        attention_mask = column("attention_mask", 0)
    else:
        attention_mask = _stacked([torch.ones_like(text) for text in texts], length, 0, left)
    protected = attention_mask == 0
    if "special_tokens_mask" in keys:
        protected |= column("special_tokens_mask", 1) != 0
    others = {key: _tensor(key, examples) for key in keys if key not in (*_TAKEN, "token_type_ids")}
    if "token_type_ids" in keys:
        others["token_type_ids"] = column("token_type_ids", tokenizer.pad_token_type_id)
    kind = next((key for key in _WORDS if key in keys), None)
    begins = None
    if kind is not None:
        begins = _stacked(_word_starts(examples, kind, lengths), length, 1, left).bool()
    starts = (attention_mask != 0).int().argmax(1)
    rows, attention_mask, protected = (
        _turned(values, starts) for values in (rows, attention_mask, protected)
    )
    if begins is not None:
        begins = _turned(begins, starts)
    return Features(
        starts=starts,
        rows=rows,
        attention_mask=attention_mask,
        protected=protected,
        row_ids=_row_ids(examples, rows, attention_mask),
        words=None if kind == "offset_mapping" else begins,
        gaps=begins if kind == "offset_mapping" else None,
        others=others,
    )


def _mappings(examples: Sequence[Any] | Example) -> Examples:
    """The examples, each with `input_ids` and the same keys."""
    if isinstance(examples, Mapping):
        examples = _of_columns(examples)
    if not len(examples):
        raise InputError(
            "the collator takes examples such as {'input_ids': [...]}, not nothing",
            "tokenize the data set first",
        )
    examples = [one if isinstance(one, Mapping) else {"input_ids": one} for one in examples]
    keys = set(examples[0])
    for i, example in enumerate(examples):
        if set(example) != keys or "input_ids" not in keys:
            raise InputError(
                f"example {i} of a batch has the keys {sorted(example)}, the first one "
                f"{sorted(keys)}; all need input_ids, and the same keys",
                "tokenize the whole data set in one way",
            )
    return examples


def _of_columns(columns: Example) -> Examples:
    try:
        rows = list(zip(*columns.values(), strict=True))
    except (TypeError, ValueError):
        raise InputError(
            f"the columns {sorted(columns)} of a batch do not have one entry for each example",
            "give a list of examples, each such as {'input_ids': [...]}",
        ) from None
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _token_ids(examples: Examples, types: int) -> list[Tensor]:
    """[t] int64 of each example."""
    texts = _whole_numbers(examples, "input_ids", None)
    for i, text in enumerate(texts):
        if not len(text) or int(text.min()) < 0 or int(text.max()) >= types:
            raise InputError(
                f"input_ids of example {i} of a batch are not one or more token ids from 0 to "
                f"{types - 1}",
                "tokenize the data set with the tokenizer that the collator was given",
            )
    return texts


def _whole_numbers(examples: Examples, key: str, lengths: list[int] | None) -> list[Tensor]:
    """[t] int64 of each example, of the lengths that are given."""
    found = []
    for i, example in enumerate(examples):
        try:
            values = torch.as_tensor(example[key])
        except (TypeError, ValueError, RuntimeError):
            values = torch.empty(0, 0)
        whole = not values.is_floating_point() or not values.numel()
        if values.dim() != 1 or not whole:
            raise InputError(
                f"{key} of example {i} of a batch is not a list of whole numbers",
                "give one row in each example: the collator makes the batch",
            )
        if lengths is not None:
            _check_length(key, i, len(values), lengths[i])
        found.append(values.to("cpu", torch.int64))
    return found


def _check_length(key: str, i: int, found: int, wanted: int) -> None:
    if found != wanted:
        raise InputError(
            f"{key} of example {i} of a batch has {found} entries, and input_ids {wanted}",
            f"{key} has one entry for each token",
        )


def _stacked(values: list[Tensor], length: int, fill: int, left: bool) -> Tensor:
    """[B, length] int64, filled up on the right, or on the left."""
    stacked = torch.full((len(values), length), fill, dtype=torch.int64)
    for row, value in zip(stacked, values, strict=True):
        start = length - len(value) if left else 0
        row[start : start + len(value)] = value
    return stacked


def _turned(values: Tensor, starts: Tensor) -> Tensor:
    """Values [B, T], each row turned to the left by `starts` [B]."""
    length = values.shape[1]
    return values.gather(1, (torch.arange(length) + starts[:, None]) % length)


def _tensor(key: str, examples: Examples) -> Tensor:
    """A column that passes through."""
    try:
        return torch.as_tensor(np.array([np.asarray(example[key]) for example in examples]))
    except (TypeError, ValueError):
        raise InputError(
            f"the column '{key}' of a batch cannot be made a tensor",
            "remove the column from the data set, or train with remove_unused_columns=True",
        ) from None


def _word_starts(examples: Examples, kind: str, lengths: list[int]) -> list[Tensor]:
    """[t] int64 of each example: 1 where a word begins; of offsets, where there is a gap."""
    if kind == "words":
        return _whole_numbers(examples, kind, lengths)
    found = []
    for i, example in enumerate(examples):
        values = list(example[kind])
        _check_length(kind, i, len(values), lengths[i])
        if kind == "word_ids":
            before = [None, *values[:-1]]
            starts = [one is None or one != last for one, last in zip(values, before, strict=True)]
        else:
            ends = [-1, *(int(end) for _, end in values[:-1])]
            starts = [int(start) != end for (start, _), end in zip(values, ends, strict=True)]
        found.append(torch.tensor(starts, dtype=torch.int64))
    return found


def _row_ids(examples: Examples, rows: Tensor, attention_mask: Tensor) -> Tensor:
    """[B] int64: the rows' own numbers, or else a hash of the tokens that are attended."""
    if "row_id" not in examples[0]:
        attended = attention_mask.bool()
        return torch.tensor([_hash(row[here]) for row, here in zip(rows, attended, strict=True)])
    try:
        return torch.tensor([int(example["row_id"]) for example in examples])
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            "a row_id of a batch is not a whole number of 64 bits",
            "row_id is the row's number in the data set",
        ) from None


def _hash(tokens: Tensor) -> int:
    digest = hashlib.blake2b(tokens.numpy().astype("<i8").tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)

"""Texts and pairs of texts as a model's inputs: framed, cut to a length, with counts of losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from entromask.text.encoding import encoder, plain_backend
from entromask.text.unknown import UnknownCounts, UnknownText, unknown_warning

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A larger share of a task's rows that are cut is worth a warning.
MOST_TRUNCATED = 0.05
# What `Reading.data` may hold.
READING_KEYS = (
    "truncated_row_share",
    "truncated_token_share",
    "unknown_token_share",
    "unknown_character_share",
    "unknown_characters",
    "words_too_long",
)
# Rows that are encoded at once.
_BATCH = 4096


@dataclass
class Reading:
    """How much of a task's rows a model gets to read; tokens are those without the frame."""

    rows: int = 0
    truncated_rows: int = 0
    tokens: int = 0
    truncated_tokens: int = 0
    unknown: UnknownCounts = field(default_factory=UnknownCounts)

    def add(self, tokens: int, truncated: int) -> None:
        """Count a row by its tokens, and those of them that are cut off."""
        self.rows += 1
        self.tokens += tokens
        self.truncated_rows += truncated > 0
        self.truncated_tokens += truncated

    def merge(self, other: Reading) -> None:
        """Add the counts of other rows."""
        self.rows += other.rows
        self.truncated_rows += other.truncated_rows
        self.tokens += other.tokens
        self.truncated_tokens += other.truncated_tokens
        self.unknown.merge(other.unknown)

    def data(self) -> dict[str, Any]:
        """Return the shares of rows that are cut, of tokens cut, and of what is unknown."""
        return {
            "truncated_row_share": self.truncated_rows / max(1, self.rows),
            "truncated_token_share": self.truncated_tokens / max(1, self.tokens),
            **self.unknown.data(),
        }


def reading_warnings(task: str, data: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each thing that a model reads too little of, from `Reading.data`."""
    warnings = (truncation_warning(task, data), unknown_warning(f"the task {task}", data))
    return [warning for warning in warnings if warning is not None]


@dataclass(frozen=True)
class Sequences:
    """Framed rows of token ids, their segments (0, and 1 in a second text), and the counts."""

    ids: list[list[int]]
    segments: list[list[int]]
    reading: Reading


def encode_sequences(
    tokenizer: PreTrainedTokenizerBase, columns: Sequence[Sequence[str]], longest: int
) -> Sequences:
    """Encode texts, or pairs of texts, as `tokenizer(..., truncation=True)` does ordinary text.

    The texts themselves are read as in corpora (see `entromask.text.encoding`); of a pair that is
    too long the longer text is cut first.

    Args:
        columns: one or two, each with one text a row.
        longest: tokens of a row, its frame included.
    """
    rows = _PythonRows if getattr(tokenizer, "backend_tokenizer", None) is None else _FastRows
    encoding = rows(tokenizer, len(columns) == 2, longest)
    found = Sequences([], [], Reading())
    unknown = UnknownText(tokenizer)
    for start in range(0, len(columns[0]), _BATCH):
        texts = list(zip(*(column[start : start + _BATCH] for column in columns), strict=True))
        for row, whole, (ids, segments) in encoding.encode(texts):
            found.ids.append(ids)
            found.segments.append(segments)
            found.reading.add(len(whole) - encoding.frame, len(whole) - len(ids))
            unknown.add(row, whole, encoding.frame)
    found.reading.unknown = unknown.counts
    return found


# A row's texts; its ids, framed and not cut; ids and segments of what is left of it.
_Row = tuple[tuple[str, ...], list[int], tuple[list[int], list[int]]]


class _FastRows:
    """Rows of a tokenizer of the `tokenizers` library."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, pair: bool, longest: int) -> None:
        self._whole, self._cut = plain_backend(tokenizer), plain_backend(tokenizer)
        self._cut.enable_truncation(
            longest, strategy="longest_first", direction=tokenizer.truncation_side
        )
        self._longest = longest
        self.frame = int(self._whole.num_special_tokens_to_add(pair))

    def encode(self, texts: list[tuple[str, ...]]) -> Iterator[_Row]:
        inputs: list[Any] = [row if len(row) == 2 else row[0] for row in texts]
        for row, given, whole in zip(
            texts, inputs, self._whole.encode_batch_fast(inputs), strict=True
        ):
            left = whole if len(whole.ids) <= self._longest else self._cut.encode_batch([given])[0]
            yield row, whole.ids, (left.ids, left.type_ids)


class _PythonRows:
    """Rows of a tokenizer in pure Python."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, pair: bool, longest: int) -> None:
        self._tokenizer: Any = tokenizer
        self._encode = encoder(tokenizer)
        self._longest = longest
        self.frame = int(tokenizer.num_special_tokens_to_add(pair))

    def encode(self, texts: list[tuple[str, ...]]) -> Iterator[_Row]:
        for row in texts:
            parts = self._encode(list(row))
            whole = self._tokenizer.build_inputs_with_special_tokens(*parts)
            left = self._tokenizer.prepare_for_model(
                *parts, truncation=True, max_length=self._longest, return_token_type_ids=True
            )
            yield row, whole, (left["input_ids"], left["token_type_ids"])


def truncation_warning(task: str, data: Mapping[str, Any]) -> str | None:
    """Return the warning about many rows that were cut, from `Reading.data`; None without cause."""
    rows, tokens = data.get("truncated_row_share") or 0.0, data.get("truncated_token_share") or 0.0
    if rows <= MOST_TRUNCATED:
        return None
    return (
        f"{rows:.1%} of the rows of {task} are longer than the model reads and were cut, "
        f"{tokens:.1%} of the tokens: its score is that of the texts' beginnings; use a model of "
        "longer rows (pretraining.sequence_length), or shorter texts"
    )

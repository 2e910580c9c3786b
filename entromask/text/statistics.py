"""What was read of a corpus: counts that results.json keeps and that a run shows as it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

from entromask.text.unknown import unknown_warning

# A .csv field over more lines is read, and reported.
LONG_FIELD_LINES = 20


class Noted(Protocol):
    """A document or a row with what there is to note about it."""

    @property
    def replaced(self) -> int: ...
    @property
    def long_field(self) -> bool: ...
    @property
    def origin(self) -> str: ...


@dataclass
class Notes:
    """Collects what there is to note about documents or rows as they are read.

    The attributes are those of `TextStatistics`.
    """

    replaced_characters: int = 0
    first_replaced: str | None = None
    long_fields: int = 0
    first_long_field: str | None = None

    def add(self, noted: Noted) -> None:
        if noted.replaced:
            self.add_replaced(noted.replaced, noted.origin)
        if noted.long_field:
            self.add_long_field(noted.origin)

    def add_replaced(self, count: int, origin: str) -> None:
        self.replaced_characters += count
        self.first_replaced = self.first_replaced or origin

    def add_long_field(self, origin: str) -> None:
        self.long_fields += 1
        self.first_long_field = self.first_long_field or origin

    def warnings(self) -> list[str]:
        """Return one sentence for each kind of thing that a user has to know of the text."""
        sentences = []
        if self.replaced_characters:
            sentences.append(_replaced(self.replaced_characters, str(self.first_replaced)))
        if self.long_fields:
            sentences.append(_long_field(self.long_fields, str(self.first_long_field)))
        return sentences


@dataclass(frozen=True)
class TextStatistics:
    """Counts of the text that a corpus was packed from.

    Attributes:
        documents: training documents; a long one that is read in parts counts once.
        rows: rows of training tokens.
        tokens: tokens in these rows, those that frame a row included.
        validation_documents, validation_rows: the same of the text held out or brought along.
        replaced_characters: halves of surrogate pairs that became U+FFFD, in either text.
        first_replaced: where the first of them was, as "FILE, line 3".
        long_fields: fields of .csv files that span suspiciously many lines.
        first_long_field: where the first of them begins.
        unknown_token_share, unknown_character_share, unknown_characters, words_too_long: what of
            the training documents the tokenizer cannot read, as in `UnknownCounts.data`.
    """

    documents: int = 0
    rows: int = 0
    tokens: int = 0
    validation_documents: int = 0
    validation_rows: int = 0
    replaced_characters: int = 0
    first_replaced: str | None = None
    long_fields: int = 0
    first_long_field: str | None = None
    unknown_token_share: float = 0.0
    unknown_character_share: float = 0.0
    unknown_characters: Sequence[Sequence[Any]] = field(default_factory=list)
    words_too_long: int = 0

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> TextStatistics:
        """Read what `data` has written; keys that another version wrote are left out."""
        names = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in data.items() if name in names})

    def data(self) -> dict[str, Any]:
        """Return the part `text` of results.json."""
        return asdict(self)

    def summary(self) -> str:
        """Return the counts in one line."""
        return (
            f"corpus: {self.documents:,} documents, {self.rows:,} rows, {self.tokens:,} tokens; "
            f"validation: {self.validation_documents:,} documents, {self.validation_rows:,} rows"
        )

    def warnings(self) -> list[str]:
        """Return the sentences that belong under `warnings` of results.json."""
        notes = Notes(
            self.replaced_characters, self.first_replaced, self.long_fields, self.first_long_field
        )
        unknown = unknown_warning("the corpus", asdict(self))
        return [*notes.warnings(), *([] if unknown is None else [unknown])]


def _replaced(count: int, first: str) -> str:
    """Return the warning about characters that are not Unicode."""
    if count == 1:
        return f"1 character, in {first}, is half of a surrogate pair and was read as U+FFFD"
    return (
        f"{count:,} characters are halves of surrogate pairs and were read as U+FFFD, the first in "
        f"{first}"
    )


def _long_field(count: int, first: str) -> str:
    """Return the warning about .csv fields that may come from a quote that is never closed."""
    fields_of = "a quoted field spans" if count == 1 else f"{count:,} quoted fields span"
    begins = "it begins in" if count == 1 else "the first begins in"
    return (
        f"{fields_of} more than {LONG_FIELD_LINES} lines, {begins} {first}; if that is not meant, "
        "a quote is not closed there"
    )

"""Reads the documents of a local file, plain or packed, in flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from entromask.errors import InputError
from entromask.text.documents import LONGEST, Text, parts_of
from entromask.text.lines import text_lines
from entromask.text.tables import TABLE_SUFFIXES, read_table, suffix_of
from entromask.text.unicode import replace_surrogates
from entromask.text.unpacking import file_errors, opened

SUFFIXES = (".txt", *TABLE_SUFFIXES)
COLUMN_HINT = "set corpus.column to the one that holds the text"


def read_documents(file: Path, column: str) -> Iterator[Text]:
    """The documents of a file, none longer than LONGEST characters and none blank.

    .txt: documents are separated by blank lines. Other formats: a row is a document, its text is in
    `column`; rows without a text are left out.

    Raises:
        InputError: the file cannot be read, is not what its suffix says, or lacks the column.
    """
    reader = _txt(file) if suffix_of(file) == ".txt" else _table(file, column)
    with file_errors(file):
        for document in reader:
            yield from parts_of(unicode_text(document), LONGEST)


def unicode_text(document: Text) -> Text:
    """The document with U+FFFD for what is not Unicode, which it counts."""
    text, replaced = replace_surrogates(document.text)
    return document._replace(text=text, replaced=replaced) if replaced else document


def _txt(file: Path) -> Iterator[Text]:
    lines: list[str] = []
    length, begins, end = 0, True, ""
    with opened(file) as (stream, position):
        for line in text_lines(file, stream, LONGEST):
            # CR CR LF is one line end, of a text that was converted twice.
            doubled = end == "\r" and line.end == "\r\n" and not line.text
            end = line.end
            if doubled:
                continue
            blank = not line.text or line.text.isspace()
            if lines and (blank or length + len(line.text) > LONGEST):
                yield Text("\n".join(lines), position(), begins)
                lines, length, begins = [], 0, False
            if blank:
                begins = True
            else:
                lines.append(line.text)
                length += len(line.text) + 1
        if lines:
            yield Text("\n".join(lines), position(), begins)


def _table(file: Path, column: str) -> Iterator[Text]:
    for row in read_table(file, [column], COLUMN_HINT):
        text = checked_text(row.values[0], f"{file}, {row.origin}", column)
        if text:
            origin = f"{file.name}, {row.origin}"
            if row.long_field:
                origin = f"{file.name}, line {row.long_field:,}"
            yield Text(text, row.position, long_field=bool(row.long_field), origin=origin)


def checked_text(value: Any, where: str, column: str) -> str | None:
    """A column's value if it is a text, or None.

    Raises:
        InputError: it is neither.
    """
    if value is None or isinstance(value, str):
        return value
    raise InputError(
        f"{where}: column '{column}' holds a {type(value).__name__}, not a text", COLUMN_HINT
    )

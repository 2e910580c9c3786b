"""The records of a .csv file, read strictly: a quote that is never closed is an error.

The module csv reads such a file to its end as one field, and bounds fields by a setting that all of
the process shares.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from entromask.errors import InputError
from entromask.text.lines import LONGEST_ROW, Line
from entromask.text.statistics import LONG_FIELD_LINES

_HINT = (
    "a field with a comma, a quote or a line break stands in quotes, and a quote in it is written "
    "twice; or write the file again as .jsonl"
)
# What stands in quotes, up to the closing one or the end of the line.
_QUOTED = re.compile(r'[^"]*(?:""[^"]*)*')


class Record(NamedTuple):
    """The fields of a record, and the line (from 1) where it begins.

    `long_field` is the line where its first field over more than LONG_FIELD_LINES lines begins; 0:
    there is none.
    """

    line: int
    fields: list[str]
    long_field: int = 0


def csv_records(file: Path, lines: Iterable[Line]) -> Iterator[Record]:
    """The records of RFC 4180, of any line end; empty lines between them are passed over.

    A quote within an unquoted field is part of the text. Line ends in quotes stay as they are.

    Args:
        file: for messages.

    Raises:
        InputError: a quote is never closed, or text stands behind a closing quote.
    """
    fields: list[str] = []
    quoted: list[str] | None = None  # the pieces of the field in quotes that is being read
    first, opened, long_field, size = 0, 0, 0, 0
    for line in lines:
        text, at = line.text, 0
        if quoted is None:
            if not text:
                continue
            if '"' not in text:
                yield Record(line.number, text.split(","))
                continue
            fields, first, long_field = [], line.number, 0
        while True:
            if quoted is None and not text.startswith('"', at):
                comma = text.find(",", at)
                fields.append(text[at:] if comma < 0 else text[at:comma])
                if comma < 0:
                    break
                at = comma + 1
                continue
            if quoted is None:
                quoted, opened, size, at = [], line.number, 0, at + 1
            end = _end_of_quoted(text, at)
            quoted.append(text[at:end])
            if end == len(text):  # it goes on in the next line
                quoted.append(line.end)
                size += end - at + 1
                if size > LONGEST_ROW:
                    raise _never_closed(file, opened, f" within {LONGEST_ROW:,} characters")
                break
            fields.append("".join(quoted).replace('""', '"'))
            quoted = None
            if line.number - opened >= LONG_FIELD_LINES:
                long_field = long_field or opened
            at = end + 1
            if at == len(text):
                break
            if text[at] != ",":
                since = "" if opened == line.number else f" that opens in line {opened:,}"
                raise InputError(
                    f"{file}, line {line.number:,} has text behind the closing quote of a "
                    f"field{since}: {text[end : end + 20]}",
                    _HINT,
                )
            at += 1
        if quoted is None:
            yield Record(first, fields, long_field)
    if quoted is not None:
        raise _never_closed(file, opened)


def _end_of_quoted(text: str, at: int) -> int:
    match = _QUOTED.match(text, at)
    assert match is not None, "the pattern matches nothing as well"
    return match.end()


def _never_closed(file: Path, line: int, within: str = "") -> InputError:
    return InputError(
        f"{file}, line {line:,}: the quote that opens a field there is never closed{within}", _HINT
    )

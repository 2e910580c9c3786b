"""Reads the rows of one .jsonl, .parquet, .tsv or .csv file, plain or .gz, as columns."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from entromask.errors import DependencyMissingError, InputError

_FORMAT_HINT = "write it again as UTF-8 .jsonl, .parquet, .tsv or .csv, plain or .gz"


def find_split(folder: Path, split: str) -> list[Path]:
    """The file of a split, or its shards as a download from the Hub names them; may be empty."""
    for ending in READERS:
        for name in (f"{split}.{ending}", f"{split}.{ending}.gz"):
            if (folder / name).is_file():
                return [folder / name]
    return sorted(folder.glob(f"{split}-*-of-*.parquet"))


def read_rows(path: Path, needed: Collection[str]) -> dict[str, list[Any]]:
    """The columns of a file, each a list with one value a row.

    Args:
        needed: columns that every row must have if the first one has them.

    Raises:
        InputError: the file is empty, cannot be decoded, or rows do not fit together.
    """
    plain = path.name.removesuffix(".gz")
    raw = _bytes(path)
    if not raw.strip():
        raise InputError(f"{path} is empty", _FORMAT_HINT)
    return READERS[plain.rpartition(".")[2]](raw, path, needed)


def _bytes(path: Path) -> bytes:
    raw = path.read_bytes()
    if path.suffix != ".gz":
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error):
        raise InputError(f"{path} is not a whole gzip file", _FORMAT_HINT) from None


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text", _FORMAT_HINT) from None


def _lines(raw: bytes, path: Path) -> list[str]:
    # str.splitlines would also break rows at characters such as U+2028.
    lines = io.StringIO(_text(raw, path), newline=None).read().split("\n")
    return [line for line in lines if line]


def _jsonl(raw: bytes, path: Path, needed: Collection[str]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    for number, line in enumerate(_lines(raw, path), 1):
        try:
            row = json.loads(line)
        except ValueError:
            raise InputError(f"row {number} of {path} is not valid JSON", _FORMAT_HINT) from None
        if not isinstance(row, dict):
            raise InputError(f"row {number} of {path} is not a JSON object", _FORMAT_HINT)
        if number == 1:
            columns = {name: [] for name in row}
        for name, values in columns.items():
            if name not in row and name in needed:
                raise InputError(f"row {number} of {path} has no column '{name}'", _FORMAT_HINT)
            values.append(row.get(name))
    return columns


def _tsv(raw: bytes, path: Path, _needed: Collection[str]) -> dict[str, list[Any]]:
    # GLUE's own files: a header, tabs, and quotation marks that are part of the text.
    fields = [line.split("\t") for line in _lines(raw, path)]
    return _table(fields, path, "a .tsv file holds one row a line and no tabs inside a field")


def _csv(raw: bytes, path: Path, _needed: Collection[str]) -> dict[str, list[Any]]:
    try:
        fields = [row for row in csv.reader(io.StringIO(_text(raw, path), newline="")) if row]
    except csv.Error as error:
        raise InputError(f"{path} is not a CSV file: {error}", _FORMAT_HINT) from None
    return _table(fields, path, "a field with a comma, a quote or a line break stands in quotes")


def _table(fields: list[list[str]], path: Path, hint: str) -> dict[str, list[Any]]:
    """The columns of rows of fields, of which the first is the header."""
    if not fields:
        raise InputError(f"{path} is empty", _FORMAT_HINT)
    header, *rows = fields
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise InputError(
                f"row {number} of {path} has {len(row)} fields and the header has {len(header)}",
                hint,
            )
    return {name: [row[place] for row in rows] for place, name in enumerate(header)}


def _parquet(raw: bytes, path: Path, _needed: Collection[str]) -> dict[str, list[Any]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError:
        raise DependencyMissingError(
            f"reading {path} needs pyarrow", "pip install 'entromask[evaluation]'"
        ) from None
    try:
        columns: dict[str, list[Any]] = pa.parquet.read_table(io.BytesIO(raw)).to_pydict()
    except (pa.ArrowException, OSError):
        raise InputError(f"{path} is not a whole parquet file", _FORMAT_HINT) from None
    return columns


READERS: dict[str, Callable[[bytes, Path, Collection[str]], dict[str, list[Any]]]] = {
    "jsonl": _jsonl,
    "parquet": _parquet,
    "tsv": _tsv,
    "csv": _csv,
}

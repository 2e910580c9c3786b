"""Reads rows from .jsonl, .json, .csv, .tsv, .parquet and .arrow files, in flat memory.

Corpora and tasks read their files here, so that both read the same text. A file may be packed, as
.gz or .zst.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from entromask.errors import InputError
from entromask.text.csv_records import Record, csv_records
from entromask.text.json_values import json_values
from entromask.text.lines import text_lines
from entromask.text.unpacking import (
    PACKED,
    file_errors,
    opened,
    packed_suffix,
    pyarrow_for,
    seekable,
)

# Of what users write; .arrow files stand in the folders of `datasets.save_to_disk`.
TABLE_SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
# Rows that are taken out of a column format at once: few, since one may be a whole book.
_BATCH = 256
_LONGEST_LIST = 300
_Columns = Sequence[str]


class Row(NamedTuple):
    """The values of the columns that were asked for, in their order.

    Attributes:
        origin: where the row is, as "line 3" (where it begins) or "row 3", counted from 1.
        position: how many bytes of the file had been read by then.
        long_field: the line where a field over suspiciously many lines begins; 0: there is none.
    """

    values: list[Any]
    origin: str
    position: int
    long_field: int = 0


def suffix_of(file: Path) -> str:
    """The suffix in lower case and without that of the packing: '.txt' of 'TRAIN.txt.gz'."""
    name = file.name.lower()
    return Path(name.removesuffix(packed_suffix(name))).suffix


def allowed_suffixes(suffixes: Sequence[str]) -> str:
    """The suffixes in words, for messages."""
    return f"{', '.join(suffixes)}, each also {' or '.join(PACKED)}"


def read_table(file: Path, columns: _Columns, hint: str) -> Iterator[Row]:
    """The rows of a file, in their order.

    A column `a.b` is the column of this name where there is one, else the field `b` of the objects
    in column `a`.

    Args:
        hint: what to do where a column is missing.

    Raises:
        InputError: the file cannot be read, is not what its suffix says, or lacks a column.
        DependencyMissingError: the format needs pyarrow, which is not installed.
    """
    with file_errors(file):
        yield from _READERS[suffix_of(file)](file, columns, hint)


def value_of(row: dict[str, Any], column: str) -> Any:
    """The value of a column, which may be nested; None where an object on the way is null.

    Raises:
        KeyError: there is no such column.
    """
    if column in row:
        return row[column]
    outer, _, inner = column.partition(".")
    while inner:
        if outer in row:
            if row[outer] is None:
                return None
            if isinstance(row[outer], dict):
                return value_of(row[outer], inner)
        more, _, inner = inner.partition(".")
        outer = f"{outer}.{more}"
    raise KeyError(column)


def missing_column(where: str, column: str, columns: _Columns, hint: str) -> InputError:
    """The error that names the columns that do exist."""
    names = ", ".join(columns) or "none"
    if len(names) > _LONGEST_LIST:
        names = names[:_LONGEST_LIST] + "…"
    return InputError(f"{where} has no column '{column}'; it has: {names}", hint)


def _values(row: Any, columns: _Columns, where: str, hint: str) -> list[Any]:
    if not isinstance(row, dict):
        raise InputError(
            f"{where} holds {_kind(row)}, not an object",
            f'each row has to be of the form {{"{columns[0]}": "…"}}',
        )
    values = []
    for column in columns:
        try:
            values.append(value_of(row, column))
        except KeyError:
            raise missing_column(where, column, _paths(row), hint) from None
    return values


def _paths(row: dict[str, Any], prefix: str = "") -> list[str]:
    """The columns of a row, nested ones as `a.b`."""
    names: list[str] = []
    for name, value in row.items():
        names += _paths(value, f"{prefix}{name}.") if isinstance(value, dict) else [prefix + name]
    return names


def _kind(value: Any) -> str:
    kinds = {list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def _jsonl(file: Path, columns: _Columns, hint: str) -> Iterator[Row]:
    with opened(file) as (stream, position):
        for line in text_lines(file, stream):
            if not line.text.strip():
                continue
            where = f"{file}, line {line.number:,}"
            try:
                row = json.loads(line.text)
            except (ValueError, RecursionError) as error:
                reason = getattr(error, "msg", "too deeply nested")
                raise InputError(
                    f"{where} is not JSON: {reason}",
                    "a .jsonl file has one object a line; an array of objects is a .json file",
                ) from None
            values = _values(row, columns, where, hint)
            yield Row(values, f"line {line.number:,}", position())


def _json(file: Path, columns: _Columns, hint: str) -> Iterator[Row]:
    with opened(file) as (stream, position):
        for number, value in json_values(file, stream):
            values = _values(value, columns, f"{file}, line {number:,}", hint)
            yield Row(values, f"line {number:,}", position())


def _csv(file: Path, columns: _Columns, hint: str) -> Iterator[Row]:
    with opened(file) as (stream, position):
        records = csv_records(file, text_lines(file, stream))
        yield from _with_header(file, records, columns, position, hint)


def _tsv(file: Path, columns: _Columns, hint: str) -> Iterator[Row]:
    # GLUE's own files: a header, tabs, and quotation marks that are part of the text.
    with opened(file) as (stream, position):
        lines = text_lines(file, stream)
        records = (Record(line.number, line.text.split("\t")) for line in lines if line.text)
        yield from _with_header(file, records, columns, position, hint)


_FIELDS_HINT = {
    ".csv": "a field with a comma, a quote or a line break stands in quotes",
    ".tsv": "a .tsv file holds one row a line and no tabs inside a field",
}


def _with_header(
    file: Path,
    records: Iterator[Record],
    columns: _Columns,
    position: Callable[[], int],
    hint: str,
) -> Iterator[Row]:
    header = next(records, None)
    if header is None:
        return
    names = header.fields
    for column in columns:
        if column not in names:
            raise missing_column(str(file), column, names, hint)
        if names.count(column) > 1:
            raise InputError(
                f"{file} has {names.count(column)} columns '{column}'", "rename all but one"
            )
    places = [names.index(column) for column in columns]
    for record in records:
        if len(record.fields) != len(names):
            raise InputError(
                f"{file}, line {record.line:,} has {len(record.fields)} fields and the header has "
                f"{len(names)}",
                _FIELDS_HINT[suffix_of(file)],
            )
        values = [record.fields[place] for place in places]
        yield Row(values, f"line {record.line:,}", position(), record.long_field)


def _parquet(file: Path, columns: _Columns, hint: str) -> Iterator[Row]:
    pa = pyarrow_for(file)
    size = file.stat().st_size
    with seekable(file) as stream, _arrow_errors(file, pa):
        table = pa.parquet.ParquetFile(stream)
        schema, rows = table.schema_arrow, table.metadata.num_rows
        for column in columns:
            _field(pa, schema, column, str(file), hint)
        # By the names of whole columns: a path may also be that of a nested one.
        names = sorted({_outer(schema, column) for column in columns})
        batches = table.iter_batches(batch_size=_BATCH, columns=names)
        yield from _rows(pa, file, batches, columns, lambda done: size * done // max(1, rows))


def _arrow(file: Path, columns: _Columns, hint: str) -> Iterator[Row]:
    """A file that `datasets` has written: the stream format, or in old versions the file format."""
    pa = pyarrow_for(file)
    size = file.stat().st_size
    with pa.memory_map(str(file)) as stream, _arrow_errors(file, pa):
        try:
            reader = pa.ipc.open_stream(stream)
            batches = iter(reader)
        except pa.ArrowInvalid:
            reader = pa.ipc.open_file(stream)
            batches = (reader.get_batch(number) for number in range(reader.num_record_batches))
        for column in columns:
            _field(pa, reader.schema, column, str(file), hint)
        small = (
            batch.slice(start, _BATCH)
            for batch in batches
            for start in range(0, batch.num_rows, _BATCH)
        )
        yield from _rows(pa, file, small, columns, lambda done: min(size, stream.tell()))


def _rows(
    pa: Any,
    file: Path,
    batches: Iterator[Any],
    columns: _Columns,
    position: Callable[[int], int],
) -> Iterator[Row]:
    done = 0
    for batch in batches:
        try:
            values = [_array(pa, batch, column).to_pylist() for column in columns]
        except UnicodeDecodeError:
            raise InputError(
                f"{file} is not UTF-8: row {done + 1:,} or soon after",
                "write the file again from decoded text",
            ) from None
        for row in zip(*values, strict=True):
            done += 1
            yield Row(list(row), f"row {done:,}", position(done))


def _outer(schema: Any, column: str) -> str:
    """The column of the schema that `column` is, or is part of."""
    if column in schema.names:
        return column
    parts = column.split(".")
    beginnings = (".".join(parts[:count]) for count in range(1, len(parts)))
    return next((name for name in beginnings if name in schema.names), column)


def _field(pa: Any, schema: Any, column: str, where: str, hint: str) -> None:
    """Makes sure that a column is there, and there once."""
    outer = _outer(schema, column)
    if schema.names.count(outer) > 1:
        raise InputError(
            f"{where} has {schema.names.count(outer)} columns '{outer}'", "rename all but one"
        )
    if outer in schema.names:
        kind = schema.field(outer).type
        inner = column[len(outer) + 1 :]
        if not inner or _leads_to(pa, kind, inner):
            return
    raise missing_column(where, column, list(_leaves(pa, schema)), hint)


def _leads_to(pa: Any, kind: Any, column: str) -> bool:
    for name in column.split("."):
        if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
            return False
        kind = kind.field(name).type
    return True


def _leaves(pa: Any, fields: Any, prefix: str = "") -> Iterator[str]:
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _leaves(pa, field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def _array(pa: Any, batch: Any, column: str) -> Any:
    """The values of a column; null where an object around it is null."""
    import pyarrow.compute as compute

    outer = _outer(batch.schema, column)
    array = batch.column(batch.schema.get_field_index(outer))
    inner = column[len(outer) + 1 :]
    return compute.struct_field(array, inner.split(".")) if inner else array


@contextmanager
def _arrow_errors(file: Path, pa: Any) -> Iterator[None]:
    """Turns what pyarrow says about a damaged file into an InputError."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        kind = "an Arrow" if suffix_of(file) == ".arrow" else "a parquet"
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"{file} is not {kind} file that can be read: {reason}", "write it again"
        ) from None


_READERS: dict[str, Callable[[Path, _Columns, str], Iterator[Row]]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".arrow": _arrow,
}

"""Reads the documents of a local .txt, .jsonl or .parquet file, plain or .gz, in flat memory."""

from __future__ import annotations

import gzip
import json
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from entromask.disk import disk_errors
from entromask.errors import DependencyMissingError, InputError
from entromask.settings import settings
from entromask.text.documents import LONGEST, Text, parts_of
from entromask.text.unicode import replace_surrogates

SUFFIXES = (".txt", ".jsonl", ".parquet")
# One row of a .jsonl file is held in memory as a whole.
_LONGEST_ROW = 256 * 1024 * 1024
_UTF8_HINT = "save it as UTF-8, for instance with: iconv -f latin1 -t utf-8 OLD > NEW"


def suffix_of(file: Path) -> str:
    """The suffix without `.gz`, in lower case: '.txt' of 'TRAIN.txt.gz'."""
    name = file.name.lower().removesuffix(".gz")
    return Path(name).suffix


def read_documents(file: Path, column: str) -> Iterator[Text]:
    """The documents of a file, none longer than LONGEST characters and none blank.

    .txt: documents are separated by blank lines. .jsonl and .parquet: a row is a document, its
    text is in `column`; rows without a text are left out.

    Raises:
        InputError: the file cannot be read, is not what its suffix says, or lacks the column.
    """
    reader = _READERS[suffix_of(file)]
    with _reading(file):
        for document in reader(file, column):
            yield from parts_of(unicode_text(document), LONGEST)


def unicode_text(document: Text) -> Text:
    """The document with U+FFFD for what is not Unicode, which it counts."""
    text, replaced = replace_surrogates(document.text)
    return document._replace(text=text, replaced=replaced) if replaced else document


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{file} is not a whole gzip file ({str(error).rstrip('.').lower()})",
            "copy it again, or unpack it and name the unpacked file",
        ) from None
    except FileNotFoundError:
        raise InputError(f"no file {file}", "check corpus.path") from None
    except OSError as error:
        if error.errno is None:
            raise
        raise InputError(
            f"{file} cannot be read: {(error.strerror or str(error)).lower()}",
            "check the file and its permissions",
        ) from None


@contextmanager
def _opened(file: Path) -> Iterator[tuple[IO[bytes], Callable[[], int]]]:
    """The unpacked content, and a function that tells the bytes read of the file itself."""
    with file.open("rb") as raw:
        if file.name.lower().endswith(".gz"):
            with gzip.open(raw) as unpacked:
                yield unpacked, raw.tell  # type: ignore[misc]
        else:
            yield raw, raw.tell


def _txt(file: Path, column: str) -> Iterator[Text]:
    lines: list[str] = []
    length = 0
    with _opened(file) as (stream, position):
        for line in _lines(file, stream):
            blank = not line or line.isspace()
            if lines and (blank or length + len(line) > LONGEST):
                yield Text("\n".join(lines), position())
                lines, length = [], 0
            if not blank:
                lines.append(line)
                length += len(line) + 1
        if lines:
            yield Text("\n".join(lines), position())


def _lines(file: Path, stream: IO[bytes]) -> Iterator[str]:
    """The lines without their ends; one of more than LONGEST bytes is cut at white space."""
    number, offset, carried = 1, 0, b""
    while piece := stream.readline(LONGEST):
        ended = piece.endswith(b"\n")
        piece = carried + piece
        carried = b""
        if not ended and len(piece) >= LONGEST:
            cut = _cut(piece)
            piece, carried = piece[:cut], piece[cut:]
        yield _decoded(file, piece, number, offset).rstrip("\r\n")
        offset += len(piece)
        number += ended
    if carried:
        yield _decoded(file, carried, number, offset)


def _cut(piece: bytes) -> int:
    """Where to cut a piece of a long line: after white space, else between two characters."""
    space = max(piece.rfind(b" "), piece.rfind(b"\t")) + 1
    if space > 0:
        return space
    cut = len(piece)
    # A UTF-8 character has at most three continuation bytes, 0b10xxxxxx.
    while cut > len(piece) - 4 and piece[cut - 1] & 0xC0 == 0x80:
        cut -= 1
    return cut - 1 if piece[cut - 1] & 0xC0 == 0xC0 else len(piece)


def _decoded(file: Path, piece: bytes, number: int, offset: int) -> str:
    if b"\0" in piece:
        at = offset + piece.index(b"\0")
        raise InputError(
            f"{file} is not a text file: it has a NUL byte at offset {at:,} (line {number:,})",
            "name a UTF-8 text file; UTF-16 has to be converted first",
        )
    try:
        return piece.decode("utf-8-sig" if offset == 0 else "utf-8")
    except UnicodeDecodeError as error:
        at = offset + error.start
        raise InputError(
            f"{file} is not UTF-8: byte 0x{piece[error.start]:02x} at offset {at:,} "
            f"(line {number:,})",
            _UTF8_HINT,
        ) from None


def _jsonl(file: Path, column: str) -> Iterator[Text]:
    number, offset = 0, 0
    with _opened(file) as (stream, position):
        while line := stream.readline(_LONGEST_ROW):
            number += 1
            text = _row_text(file, _decoded(file, line, number, offset), number, column)
            offset += len(line)
            if text:
                yield Text(text, position(), origin=f"{file.name}, line {number:,}")


def _row_text(file: Path, line: str, number: int, column: str) -> str | None:
    if not line.strip():
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", "too deeply nested")
        raise InputError(
            f"{file}, line {number:,} is not JSON: {reason}", "a .jsonl file has one object a line"
        ) from None
    if not isinstance(row, dict):
        raise InputError(
            f"{file}, line {number:,} holds a {type(row).__name__}, not an object",
            f'each line has to be of the form {{"{column}": "…"}}',
        )
    if column not in row:
        raise missing_column(f"{file}, line {number:,}", column, list(row))
    return checked_text(row[column], f"{file}, line {number:,}", column)


def missing_column(where: str, column: str, columns: list[str]) -> InputError:
    """The error that names the columns that do exist."""
    names = ", ".join(columns) or "none"
    return InputError(
        f"{where} has no column '{column}'; it has: {names}",
        "set corpus.column to the one that holds the text",
    )


def checked_text(value: Any, where: str, column: str) -> str | None:
    """A column's value if it is a text, or None.

    Raises:
        InputError: it is neither.
    """
    if value is None or isinstance(value, str):
        return value
    raise InputError(
        f"{where}: column '{column}' holds a {type(value).__name__}, not a text",
        "set corpus.column to the one that holds the text",
    )


def _parquet(file: Path, column: str) -> Iterator[Text]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DependencyMissingError(
            f"{file} needs the package pyarrow", "pip install 'entromask[evaluation]'"
        ) from None
    size = file.stat().st_size
    with _unpacked(file) as stream:
        try:
            table = pq.ParquetFile(stream)
            schema = table.schema_arrow
            if column not in schema.names:
                raise missing_column(str(file), column, schema.names)
            kind = schema.field(column).type
            kind = kind.value_type if pa.types.is_dictionary(kind) else kind
            if not any(test(kind) for test in _text_types(pa)):
                raise InputError(
                    f"{file}: column '{column}' holds {kind}, not text",
                    "set corpus.column to the one that holds the text",
                )
            done, rows = 0, max(1, table.metadata.num_rows)
            for batch in table.iter_batches(batch_size=256, columns=[column]):
                for text in batch.column(0).to_pylist():
                    done += 1
                    if text:
                        yield Text(text, size * done // rows)
        except UnicodeDecodeError:
            raise InputError(
                f"{file} is not UTF-8: column '{column}', row {done + 1:,} or soon after",
                "write the file again from decoded text",
            ) from None
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            reason = str(error).splitlines()[0].rstrip(".")
            raise InputError(
                f"{file} is not a parquet file that can be read: {reason}", "write it again"
            ) from None


def _text_types(pa: Any) -> list[Callable[[Any], bool]]:
    return [pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view]


@contextmanager
def _unpacked(file: Path) -> Iterator[IO[bytes]]:
    """The file itself, or a temporary copy: parquet is read from its end, gzip is not."""
    if not file.name.lower().endswith(".gz"):
        with file.open("rb") as raw:
            yield raw
        return
    folder = settings().cache
    with disk_errors(f"the unpacked {file.name}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it is closed two lines below)
    with copy:
        with _reading(file), gzip.open(file) as packed:
            while block := packed.read(1024 * 1024):
                with disk_errors(f"the unpacked {file.name}", folder):
                    copy.write(block)
        copy.seek(0)
        yield copy


_READERS: dict[str, Callable[[Path, str], Iterator[Text]]] = {
    ".txt": _txt,
    ".jsonl": _jsonl,
    ".parquet": _parquet,
}

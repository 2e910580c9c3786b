"""Reads an uploaded corpus from its first to its last byte: `python -m backend.corpus_check`.

In a process of its own, with a bound on its memory: what a hostile file brings down is not the API.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import sys
import zlib
from pathlib import Path

from entromask.errors import EntromaskError, InputError
from entromask.text.files import SUFFIXES, read_documents, suffix_of

# Real text shrinks to a third or a tenth; deflate at its limit to a thousandth. Small files may
# repeat themselves as they like.
_RATIO, _UNSUSPICIOUS = 200, 64 * 1024 * 1024
_MEMORY = 8 * 1024**3
_CHUNK = 1024 * 1024
_WORD = re.compile(r"\w")
# How a file begins that is not what its suffix says.
_BEGINNINGS = {
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a parquet file",
    b"PK\x03\x04": "a zip file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"\xfd7zXZ": "an xz file",
}
_SUFFIXES = f"allowed: {', '.join(SUFFIXES)}, each also .gz"


class BombError(InputError):
    """A small file that unpacks to a huge one."""


def format_of(name: str) -> str:
    """The format that a file's name tells: 'txt', 'jsonl.gz' and so on.

    Raises:
        InputError: another suffix.
    """
    suffix = suffix_of(Path(name))
    if suffix not in SUFFIXES:
        last = "".join(Path(name).suffixes[-2:])[-40:]
        described = f"has the suffix '{last}'" if last else "has no suffix"
        raise InputError(f"the file's name {described}; {_SUFFIXES}", "rename it to what it is")
    return suffix.lstrip(".") + (".gz" if name.lower().endswith(".gz") else "")


def check(file: Path, column: str, limit: int) -> None:
    """Makes sure that all of a file is text that a run can be trained on.

    Args:
        limit: of the unpacked size, in bytes.

    Raises:
        BombError: it unpacks to more than `limit`, or to a suspicious multiple of its size.
        InputError: it is not what its suffix says, not UTF-8, lacks the column, or has no words.
    """
    if file.stat().st_size == 0:
        raise InputError(f"{file} is empty", "send a file with text in it")
    packed = file.name.endswith(".gz")
    suffix = suffix_of(file)
    with file.open("rb") as raw:
        _check_beginning(file, raw.read(8), "a gzip file" if packed else _kind(suffix))
    if packed:
        _check_unpacked(file, limit, suffix)
    words, length = False, 0
    for document in read_documents(file, column):
        length += len(document.text)
        _check_length(file, length, limit)
        words = words or _WORD.search(document.text) is not None
    if not words:
        raise InputError(f"{file} holds no words", "send a file with text in it")


def _kind(suffix: str) -> str | None:
    return "a parquet file" if suffix == ".parquet" else None


def _check_beginning(file: Path, head: bytes, wanted: str | None) -> None:
    """Whether the first bytes are those of `wanted`; None: of plain text."""
    kind = next((kind for start, kind in _BEGINNINGS.items() if head.startswith(start)), None)
    if kind == wanted:
        return
    if kind is None:
        raise InputError(f"{file} is not {wanted}, as its name says", f"rename it; {_SUFFIXES}")
    raise InputError(
        f"{file} is {kind}, not {wanted or 'text'}", f"rename or unpack it; {_SUFFIXES}"
    )


def _check_unpacked(file: Path, limit: int, suffix: str) -> None:
    unpacked = 0
    try:
        with gzip.open(file) as stream:
            while block := stream.read(_CHUNK):
                if not unpacked:
                    _check_beginning(file, block[:8], _kind(suffix))
                unpacked += len(block)
                _check_length(file, unpacked, limit)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{file} is not a whole gzip file ({str(error).rstrip('.').lower()})",
            "pack it again, or send it unpacked",
        ) from None


def _check_length(file: Path, length: int, limit: int) -> None:
    if length > limit:
        raise BombError(
            f"{file} unpacks to more than {limit:,} bytes, the most that is allowed",
            "split it, or raise ENTROMASK_UPLOAD_LIMIT",
        )
    if length > max(_UNSUSPICIOUS, _RATIO * file.stat().st_size):
        raise BombError(
            f"{file} unpacks to more than {_RATIO} times its size: that is no text",
            "send the text without its repetitions",
        )


def main() -> None:
    """The command: one JSON object on stdout, with an `error` where the file is refused."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", type=Path)
    parser.add_argument("column")
    parser.add_argument("limit", type=int)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    bound = _MEMORY if most == resource.RLIM_INFINITY else min(_MEMORY, most)
    resource.setrlimit(resource.RLIMIT_AS, (bound, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    error = None
    try:
        check(arguments.file, arguments.column, arguments.limit)
    except EntromaskError as refused:
        code = "corpus_inflates" if isinstance(refused, BombError) else "invalid_corpus"
        error = {"code": code, "message": refused.message, "hint": refused.hint}
    json.dump({"error": error}, sys.stdout)


if __name__ == "__main__":
    main()

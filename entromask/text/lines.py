"""The lines of a text file in UTF-8, which end with LF, CRLF or CR, in flat memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from entromask.errors import InputError
from entromask.text.unpacking import Readable

# Of a file in which a line is a row: it is held in memory as a whole.
LONGEST_ROW = 256 * 1024 * 1024
_BLOCK = 64 * 1024
UTF8_HINT = "save it as UTF-8, for instance with: iconv -f latin1 -t utf-8 OLD > NEW"


class Line(NamedTuple):
    """A line, or a part of a long one.

    Attributes:
        number: counted from 1.
        text: without the line's end.
        end: LF, CRLF or CR as they stand in the file; "" at the file's end and where a long line
            is cut.
    """

    number: int
    text: str
    end: str


def text_lines(file: Path, stream: Readable, longest: int | None = None) -> Iterator[Line]:
    """The lines of an unpacked file; a byte order mark is no text.

    Args:
        file: for messages.
        longest: a line of more bytes is cut at white space; None: it is refused over LONGEST_ROW.

    Raises:
        InputError: it is not UTF-8, has a NUL byte, or too long a line.
    """
    number, offset, size = 1, 0, 0
    pieces: list[bytes] = []
    for piece in _pieces(stream):
        pieces.append(piece)
        size += len(piece)
        ended = piece.endswith((b"\n", b"\r"))
        if not ended and size < (longest or LONGEST_ROW):
            continue
        if not ended and longest is None:
            raise InputError(
                f"{file}, line {number:,} is longer than {LONGEST_ROW:,} bytes",
                "write it again with shorter rows",
            )
        line = b"".join(pieces)
        cut = len(line) if ended else _cut(line)
        yield _line(file, line[:cut], number, offset)
        pieces, size = [line[cut:]], len(line) - cut
        offset += cut
        number += ended
    last = _line(file, b"".join(pieces), number, offset)
    if last.text:
        yield last


def _pieces(stream: Readable) -> Iterator[bytes]:
    """The content, cut behind every line end and where a block ends; never within CRLF."""
    held = b""
    while block := stream.read(_BLOCK):
        block = held + block
        # A CR that ends a block may belong to an LF that begins the next.
        held = b"\r" if block.endswith(b"\r") else b""
        # bytes.splitlines knows no other line ends, such as U+2028.
        yield from block[: len(block) - len(held)].splitlines(keepends=True)
    if held:
        yield held


def _line(file: Path, line: bytes, number: int, offset: int) -> Line:
    text = _decoded(file, line, number, offset)
    plain = text.rstrip("\r\n")
    return Line(number, plain, text[len(plain) :])


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
            UTF8_HINT,
        ) from None

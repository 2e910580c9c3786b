"""The values of a .json file, an array or values one after the other, in flat memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from entromask.errors import InputError
from entromask.text.lines import LONGEST_ROW, UTF8_HINT
from entromask.text.unpacking import Readable

_BLOCK = 64 * 1024
_SPACE = re.compile(r"[ \t\r\n]*")
_LINE_END = re.compile(r"\r\n|\r|\n")
_DELIMITERS = tuple(" \t\r\n,[]{}")
_HINT = "a .json file holds an array of objects, or one object after the other"
_DECODER = json.JSONDecoder()


def json_values(file: Path, stream: Readable) -> Iterator[tuple[int, Any]]:
    """Each value with the line (from 1) where it begins.

    Args:
        file: for messages.

    Raises:
        InputError: it is not JSON or not UTF-8, or one of its values is too large.
    """
    text = _Text(file, stream)
    if text.peek() != "[":
        while text.peek():
            yield text.value()
        return
    text.at += 1
    if text.peek() == "]":
        text.at += 1
    else:
        while True:
            yield text.value()
            mark = text.peek()
            if mark not in (",", "]"):
                raise text.error("an array goes on with a comma or ends with a ]")
            text.at += 1
            if mark == "]":
                break
    if text.peek():
        raise text.error("text stands behind the end of the array")


class _Text:
    """The part of the text that is in memory; it has been read up to `at`."""

    def __init__(self, file: Path, stream: Readable) -> None:
        self.file, self.stream = file, stream
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.buffer, self.at, self.ended = "", 0, False
        self.line, self.counted = 1, 0  # the line of the character `counted`
        self.held = ""  # a CR, until it is known whether an LF follows

    def peek(self) -> str:
        """The next character that is no white space; "" at the end."""
        while True:
            match = _SPACE.match(self.buffer, self.at)
            assert match is not None, "the pattern matches nothing as well"
            self.at = match.end()
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if self.ended:
                return ""
            self._read(_BLOCK)

    def value(self) -> tuple[int, Any]:
        """The value that begins at the next character, and its line."""
        self.peek()
        line, more = self._line(), _BLOCK
        while True:
            try:
                value, end = _DECODER.raw_decode(self.buffer, self.at)
                if self.ended or not self._may_go_on(value, end):
                    self.at = end
                    return line, value
            except RecursionError:
                raise self.error("too deeply nested") from None
            except ValueError as error:
                if self.ended:
                    raise self.error(getattr(error, "msg", str(error))) from None
            if len(self.buffer) - self.at > LONGEST_ROW:
                raise self.error(f"a value of more than {LONGEST_ROW:,} characters, or damaged")
            self._read(more)
            more *= 2

    def _may_go_on(self, value: Any, end: int) -> bool:
        """Whether the value may be the beginning of a longer one: of a number, such as 1 of 1e9."""
        return isinstance(value, int | float) and self.buffer[end : end + 1] not in _DELIMITERS

    def error(self, reason: str) -> InputError:
        return InputError(f"{self.file}, line {self._line():,} is not JSON: {reason}", _HINT)

    def _read(self, size: int) -> None:
        """Reads more, and drops what has been read before."""
        block = self.stream.read(size)
        self.ended = not block
        line = self._line()
        try:
            more = self.decoder.decode(block, final=self.ended)
        except UnicodeDecodeError as error:
            text = self.buffer[self.at :] + error.object[: error.start].decode("utf-8", "replace")
            line += len(_LINE_END.findall(text))
            raise InputError(
                f"{self.file} is not UTF-8: byte 0x{error.object[error.start]:02x} (line {line:,})",
                UTF8_HINT,
            ) from None
        more = self.held + more
        self.held = "\r" if more.endswith("\r") and not self.ended else ""
        more = more[: len(more) - len(self.held)]
        self.buffer, self.at, self.counted = self.buffer[self.at :] + more, 0, 0

    def _line(self) -> int:
        """The line of the next character."""
        self.line += len(_LINE_END.findall(self.buffer, self.counted, self.at))
        self.counted = self.at
        return self.line

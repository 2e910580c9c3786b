"""A multipart form with one file, read piece by piece: the file goes straight to the disk."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from backend.corpus_check import format_of
from backend.problems import ProblemError, pointer
from entromask.disk import disk_errors
from entromask.errors import InputError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_LONGEST_NAME = 200
_HINT = "e.g. curl -F file=@corpus.txt"


@dataclass(frozen=True)
class Upload:
    """A file that was received, and the fields that came with it."""

    file: Path
    client_name: str
    name: str
    column: str
    format: str
    size: int
    sha256: str


class UploadForm:
    """A multipart form with one file and short text fields, fed piece by piece."""

    def __init__(self, content_type: str, folder: Path, limit: int) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise ProblemError(
                "unsupported_media_type", "the request is not multipart/form-data", _HINT
            )
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._part_begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise self._broken(str(error)) from None
        self._folder, self._limit = folder, limit
        self._fields: dict[str, bytearray] = {}
        self._file: tuple[str, str] | None = None  # the client's name, the format
        self._hash = hashlib.sha256()
        self._size = 0
        self._out: int | None = None
        self._ended = False

    def feed(self, data: bytes) -> None:
        with disk_errors("the upload", self._folder):
            try:
                self._parser.write(data)
            except FormParserError as error:
                raise self._broken(str(error)) from None

    def finish(self) -> Upload:
        """What was received, under its own name."""
        if not self._ended:
            raise self._broken("it ends in the middle")
        if self._file is None:
            raise _refused("file", "is required", _HINT)
        client_name, format_ = self._file
        name = self._text("name", client_name)
        column = self._text("column", "text")
        file = self._folder / f"corpus.{format_}"
        self._part.rename(file)
        return Upload(file, client_name, name, column, format_, self._size, self._hash.hexdigest())

    def close(self) -> None:
        if self._out is not None:
            os.close(self._out)
            self._out = None

    @property
    def _part(self) -> Path:
        return self._folder / ".part"

    def _text(self, field: str, default: str) -> str:
        if field not in self._fields:
            return default
        try:
            text = self._fields[field].decode("utf-8")
        except UnicodeDecodeError:
            text = ""
        if text.isprintable() and text.strip() and len(text) <= _LONGEST_NAME:
            return text.strip() if field == "name" else text
        raise _refused(
            field,
            f"has to be 1 to {_LONGEST_NAME} printable characters, in UTF-8",
            "change it, or leave it out",
        )

    @staticmethod
    def _broken(reason: str) -> ProblemError:
        return ProblemError("invalid_request", f"the form cannot be read: {reason}", _HINT)

    # What the parser calls, in the order of the request.

    def _part_begin(self) -> None:
        self._header, self._value = b"", b""
        self._disposition = b""
        self._field: bytearray | None = None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        shown = display_name(field)
        if field in self._fields or (field == "file" and self._file is not None):
            raise _refused(shown, "is given twice", "send it once")
        if field in ("name", "column"):
            self._field = self._fields[field] = bytearray()
        elif field == "file":
            self._open(options.get(b"filename", b"").decode("utf-8", "replace"))
        else:
            raise _refused(shown, "is no field of this form; allowed: file, name, column", _HINT)

    def _open(self, client_name: str) -> None:
        shown = display_name(client_name)
        if not shown:
            raise _refused("file", "has no file name", _HINT)
        try:
            self._file = (shown, format_of(shown))
        except InputError as error:
            raise ProblemError(
                "invalid_corpus", error.message, error.hint, errors=[("/file", error.message)]
            ) from None
        self._out = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field is not None:
            self._field += data[start:end]
            if len(self._field) > 4 * _LONGEST_NAME:
                raise ProblemError(
                    "invalid_request", "a field of the form is too long", "shorten it"
                )
            return
        assert self._out is not None
        self._size += end - start
        if self._size > self._limit:
            raise too_large(self._limit)
        piece = memoryview(data)[start:end]
        self._hash.update(piece)
        while piece:
            piece = piece[os.write(self._out, piece) :]

    def _part_end(self) -> None:
        if self._field is None and self._out is not None:
            os.fsync(self._out)
            self.close()

    def _end(self) -> None:
        self._ended = True


def display_name(text: str) -> str:
    """A name that can be shown: without folders, control characters and needless length."""
    last = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    plain = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip()
    # What is cut is its beginning: the end tells the format.
    return plain[-_LONGEST_NAME:]


def too_large(limit: int) -> ProblemError:
    """The file has more than `limit` bytes."""
    sentence = f"the file has more than {limit:,} bytes, the most that is allowed"
    hint = "pack it with gzip, split it, or raise ENTROMASK_UPLOAD_LIMIT"
    return ProblemError("body_too_large", sentence, hint, errors=[("/file", sentence)])


def _refused(field: str, sentence: str, hint: str) -> ProblemError:
    return ProblemError(
        "invalid_request", f"{field}: {sentence}", hint, errors=[(pointer([field]), sentence)]
    )

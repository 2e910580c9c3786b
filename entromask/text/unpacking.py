"""Opens files that may be packed, as .gz or .zst, and says which file it is that fails."""

from __future__ import annotations

import gzip
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from entromask.disk import disk_errors
from entromask.errors import DependencyMissingError, InputError
from entromask.settings import settings

# Tried in this order; a file's name ends with at most one of them.
PACKED = (".gz", ".zst")
_BLOCK = 1024 * 1024


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int = -1, /) -> bytes: ...


def packed_suffix(name: str) -> str:
    """Return ".gz", ".zst" or "": how the file of this name is packed."""
    return next((suffix for suffix in PACKED if name.lower().endswith(suffix)), "")


@contextmanager
def file_errors(file: Path) -> Iterator[None]:
    """Turns what the system and the unpackers say about a file into an InputError."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _not_whole(file, "gzip", error) from None
    except FileNotFoundError:
        raise InputError(f"no file {file}", "check the path") from None
    except OSError as error:
        if error.errno is None:
            if packed_suffix(file.name) != ".zst":
                raise
            raise _not_whole(file, "zstd", error) from None
        raise InputError(
            f"{file} cannot be read: {(error.strerror or str(error)).lower()}",
            "check the file and its permissions",
        ) from None


def _not_whole(file: Path, kind: str, error: Exception) -> InputError:
    return InputError(
        f"{file} is not a whole {kind} file ({str(error).rstrip('.').lower()})",
        "copy it again, or unpack it and name the unpacked file",
    )


@contextmanager
def opened(file: Path) -> Iterator[tuple[Readable, Callable[[], int]]]:
    """The unpacked content, and a function that tells the bytes read of the file itself.

    Files of several gzip members or zstd frames are read to the end of the last one.

    Raises:
        DependencyMissingError: the file is a .zst, and pyarrow is not installed.
    """
    packed = packed_suffix(file.name)
    with file.open("rb") as raw:
        if packed == ".gz":
            with gzip.open(raw) as unpacked:
                yield unpacked, raw.tell
        elif packed == ".zst":
            with pyarrow_for(file).CompressedInputStream(raw, "zstd") as unpacked:
                yield unpacked, raw.tell
        else:
            yield raw, raw.tell


@contextmanager
def seekable(file: Path) -> Iterator[IO[bytes]]:
    """The file itself, or an unpacked temporary copy: parquet is read from its end.

    Raises:
        DiskFullError: there is no room for the copy.
    """
    if not packed_suffix(file.name):
        with file.open("rb") as raw:
            yield raw
        return
    folder = settings().cache
    with disk_errors(f"the unpacked {file.name}", folder):
        folder.mkdir(parents=True, exist_ok=True)
        copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (it is closed two lines below)
    with copy:
        with file_errors(file), opened(file) as (stream, _):
            while block := stream.read(_BLOCK):
                with disk_errors(f"the unpacked {file.name}", folder):
                    copy.write(block)
        copy.seek(0)
        yield copy


def pyarrow_for(file: Path) -> Any:
    """The package pyarrow.

    Raises:
        DependencyMissingError: it is not installed; `file` needs it.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DependencyMissingError(
            f"{file} needs the package pyarrow", "pip install 'entromask[evaluation]'"
        ) from None
    return pyarrow

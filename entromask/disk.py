"""Room on the disk: asked for before a run, and named when it runs out."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entromask.errors import DiskFullError, InputError

_HINT = "free some space, or choose another disk with --output or ENTROMASK_HOME"
# A full disk, a user's quota, and a limit on the size of a file: all mean "no room".
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Makes sure that `needed` bytes fit where `folder` is, or will be.

    Raises:
        DiskFullError: they do not.
    """
    place = _existing(folder)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DiskFullError(
            f"{purpose} needs about {_size(needed)}, and {place} has {_size(free)} free", _HINT
        )


def disk_room(folder: Path) -> dict[str, int] | None:
    """`used`, `total` and `free` bytes of the disk that `folder` is on, or will be.

    None where it cannot be read. `used` and `free` make less than `total` where a reserve is kept.
    """
    try:
        found = shutil.disk_usage(_existing(folder))
    except OSError:
        return None
    return {"used": found.used, "total": found.total, "free": found.free}


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place


@contextmanager
def full_disk_named(what: str, folder: Path) -> Iterator[None]:
    """Turns the many faces of a full disk into one DiskFullError.

    Raises:
        DiskFullError: there is no room for `what` in `folder`.
    """
    try:
        yield
    except Exception as error:
        # safetensors reports a full disk in words only.
        full = isinstance(error, OSError) and error.errno in _NO_ROOM
        if full or "No space left on device" in str(error):
            raise DiskFullError(f"no room on the disk for {what} in {folder}", _HINT) from error
        raise


@contextmanager
def disk_errors(what: str, folder: Path) -> Iterator[None]:
    """Says in one sentence that `what` cannot be written into `folder`.

    Raises:
        DiskFullError: there is no room.
        InputError: the folder cannot be written to.
    """
    try:
        with full_disk_named(what, folder):
            yield
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        raise InputError(
            f"cannot write {what} into {folder}: {os.strerror(error.errno or 0).lower()}",
            "choose a folder that can be written to with --output or ENTROMASK_HOME",
        ) from None


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"

"""Room on the disk: asked for before a run, and named when it runs out."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entromask.errors import DiskFullError

_HINT = "free some space, or choose another disk with --output or ENTROMASK_HOME"


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Makes sure that `needed` bytes fit where `folder` is, or will be.

    Raises:
        DiskFullError: they do not.
    """
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise DiskFullError(
            f"{purpose} needs about {_size(needed)}, and {place} has {_size(free)} free", _HINT
        )


@contextmanager
def full_disk_named(folder: Path) -> Iterator[None]:
    """Turns the many faces of a full disk into one DiskFullError."""
    try:
        yield
    except Exception as error:
        # safetensors reports a full disk in words only.
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "No space left on device" in str(error):
            raise DiskFullError(f"the disk of {folder} is full", _HINT) from error
        raise


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"

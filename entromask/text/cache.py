"""Files and folders that are built once, however many processes ask for them at the same time.

What is in the cache is whole: it is built beside its place, forced to the disk, then renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from entromask.disk import disk_errors

_BUILDING = ".building"


def write_once(file: Path, content: bytes) -> None:
    """Writes a file whole or not at all; the last of several writers wins.

    Raises:
        DiskFullError: there is no room.
    """
    with disk_errors(file.name, file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=file.name)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def build_once(
    folder: Path, build: Callable[[Path], None], whole: Callable[[Path], bool], what: str
) -> None:
    """Makes sure that `folder` exists: calls `build` on an empty folder beside it, and renames.

    Only one process builds; the others wait for it. What a killed builder left is removed.

    Args:
        whole: says whether a folder that is there already can be used; else it is built anew.
        what: names the thing in an error.

    Raises:
        DiskFullError: there is no room; whatever `build` raises. Nothing is left behind.
    """
    if whole(folder):
        return
    with disk_errors(what, folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_half_built(folder.parent)
        with FileLock(_lock(folder)):
            if whole(folder):
                return
            building = folder.with_name(folder.name + _BUILDING)
            shutil.rmtree(building, ignore_errors=True)
            building.mkdir()
            try:
                build(building)
                _sync(building)
                shutil.rmtree(folder, ignore_errors=True)
                building.rename(folder)
                _sync_entry(folder.parent)
            except BaseException:
                shutil.rmtree(building, ignore_errors=True)
                raise


def _lock(folder: Path) -> Path:
    return folder.with_name(folder.name + ".lock")


def _remove_half_built(parent: Path) -> None:
    """Removes what builders left that are no longer alive: their lock is free."""
    for building in parent.glob("*" + _BUILDING):
        with suppress(Timeout), FileLock(_lock(building.with_suffix("")), timeout=0):
            shutil.rmtree(building, ignore_errors=True)


def _sync(folder: Path) -> None:
    for file in folder.iterdir():
        _sync_entry(file)
    _sync_entry(folder)


def _sync_entry(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A file of rows that is filled once, in order, over kills and by several processes at a time.

A kill at any moment loses at most the rows since the last commit; damage is noticed and rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from entromask.disk import disk_errors, require_space

_CHECKED_AT_ONCE = 1 << 24


class RowStore:
    """N rows of one numpy type, appended in order.

    Two files in a folder: the rows, of their full size from the start so that a full disk shows
    at once, and `progress.json`, which says how many of them count, with their checksum. The rows
    are forced to the disk before progress.json is replaced, so it never says too much.

    Attributes:
        WHAT: the store in an error message.
        FILE: the name of the file of rows.
        filled: rows that count, from the first one on.
        facts: costs in seconds or FLOPs, summed over all commits.

    Args:
        folder: of this store alone; made when the first rows are written.
        identity: what the rows depend on; a store with another identity is computed anew.
        rows: N.
        row: numpy type of a row.
    """

    WHAT: ClassVar[str]
    FILE: ClassVar[str]

    def __init__(
        self, folder: Path, identity: Mapping[str, str | int], rows: int, row: np.dtype[Any]
    ) -> None:
        self.folder, self.rows = folder, rows
        self.identity: dict[str, Any] = {**identity, "rows": rows}
        self.filled = 0
        self.facts: dict[str, float] = {}
        self._row = row
        self._checksum = 0
        self._contents: NDArray[Any] | None = None
        self._load()

    @property
    def complete(self) -> bool:
        return self.filled == self.rows

    @contextmanager
    def filling(self) -> Iterator[Self]:
        """Exclusive right to append, over all processes of this machine; waits for it.

        On entry the store says again how far it is: another process may have filled it meanwhile.

        Raises:
            DiskFullError: there is no room for the whole store.
        """
        with disk_errors(self.WHAT, self.folder):
            require_space(self.folder, self._missing(), self.WHAT)
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            self._load()
            if self.filled == 0 and not self.complete:
                with disk_errors(self.WHAT, self.folder):
                    self._allocate()
            yield self

    def _check_room(self, count: int) -> None:
        if self.filled + count > self.rows:
            raise ValueError(
                f"{count} more rows than the store's {self.rows}, of which {self.filled} are filled"
            )

    def _commit(self, rows: NDArray[Any], facts: Mapping[str, float]) -> None:
        """Appends `rows` for good; only within `filling`.

        Raises:
            DiskFullError: there is no room.
        """
        content = rows.tobytes()
        with disk_errors(self.WHAT, self.folder):
            with self._data.open("r+b") as stream:
                stream.seek(self.filled * self._row.itemsize)
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            self._checksum = zlib.crc32(content, self._checksum)
            self.filled += len(rows)
            for name, value in facts.items():
                self.facts[name] = self.facts.get(name, 0.0) + value
            self._write_progress()

    def _numbers(self, row_ids: Tensor) -> NDArray[np.int64]:
        """[B] as numpy.

        Raises:
            ValueError: a row that is not in the store, or not filled yet.
        """
        wanted: NDArray[np.int64] = row_ids.cpu().numpy()
        if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < self.filled:
            raise ValueError(
                f"rows {int(wanted.min())}..{int(wanted.max())} were asked for; the store has "
                f"0..{self.filled - 1}"
            )
        return wanted

    @property
    def contents(self) -> NDArray[Any]:
        """The rows as they are stored, memory-mapped; only `filled` of them count."""
        if self._contents is None:
            self._contents = np.memmap(self._data, dtype=self._row, mode="r", shape=(self.rows,))
        return self._contents

    @property
    def _data(self) -> Path:
        return self.folder / self.FILE

    @property
    def _progress(self) -> Path:
        return self.folder / "progress.json"

    @property
    def _size(self) -> int:
        return self.rows * self._row.itemsize

    def _missing(self) -> int:
        """Bytes that the disk has to have free."""
        there = self._data.stat().st_size if self._data.is_file() else 0
        return max(0, self._size - there)

    def _load(self) -> None:
        """Takes over what the folder holds, or nothing of it if it is damaged or another's."""
        self.filled, self._checksum, self.facts, self._contents = 0, 0, {}, None
        try:
            progress = json.loads(self._progress.read_text(encoding="utf-8"))
            filled, checksum = int(progress["filled"]), int(progress["checksum"])
            facts = {str(name): float(value) for name, value in progress["facts"].items()}
            usable = progress["identity"] == self.identity and 0 <= filled <= self.rows
            if not usable or self._data.stat().st_size != self._size:
                return
            if _checksum(self._data, filled * self._row.itemsize) != checksum:
                return
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        self.filled, self._checksum, self.facts = filled, checksum, facts

    def _allocate(self) -> None:
        """A fresh data file of the full size, all of it reserved on the disk."""
        self._progress.unlink(missing_ok=True)
        self._data.unlink(missing_ok=True)
        try:
            with self._data.open("wb") as stream:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(stream.fileno(), 0, self._size)
                else:  # macOS
                    stream.truncate(self._size)
        except OSError:
            self._data.unlink(missing_ok=True)
            raise
        self._write_progress()

    def _write_progress(self) -> None:
        content = json.dumps(
            {
                "identity": self.identity,
                "filled": self.filled,
                "checksum": self._checksum,
                "facts": self.facts,
            }
        )
        building = self._progress.with_suffix(".building")
        with building.open("w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        building.replace(self._progress)
        handle = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def folder_of(root: Path, identity: Mapping[str, str | int]) -> Path:
    """The folder under `root` for what has this identity."""
    text = json.dumps(dict(identity), sort_keys=True)
    return root / hashlib.sha256(text.encode()).hexdigest()[:32]


def _checksum(path: Path, size: int) -> int:
    """CRC-32 of the first `size` bytes."""
    checksum = 0
    with path.open("rb") as stream:
        while size > 0 and (content := stream.read(min(size, _CHECKED_AT_ONCE))):
            checksum = zlib.crc32(content, checksum)
            size -= len(content)
    return checksum

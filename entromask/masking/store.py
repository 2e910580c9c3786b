"""A teacher's scores for every position of a corpus: one byte each, in a memory-mapped file.

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
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from numpy.typing import NDArray
from torch import Tensor

from entromask.disk import disk_errors, require_space
from entromask.errors import InputError

# Raised when the meaning of the bytes changes; an older store is then computed anew.
VERSION = 1
_LEVELS = 255
_WHAT = "the store of the teacher's scores"
_CHECKED_AT_ONCE = 1 << 24


class ScoreStore:
    """Scores [N, T] between 0 and `highest`, rounded to 256 levels (error at most highest / 510).

    Two files in a folder: `scores.u8`, of its full size from the start so that a full disk shows
    at once, and `progress.json`, which says how many rows of it count, with their checksum. The
    rows are forced to the disk before progress.json is replaced, so it never says too much.

    Args:
        folder: of this store alone; made when the first rows are written.
        identity: what the scores depend on; a store with another identity is computed anew.
        rows, length: N and T.
        highest: the largest possible score, ln V nats for an entropy.
    """

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str | int],
        rows: int,
        length: int,
        highest: float,
    ) -> None:
        self.folder = folder
        self.rows, self.length, self.highest = rows, length, highest
        self.identity: dict[str, Any] = {
            **identity,
            "version": VERSION,
            "rows": rows,
            "length": length,
            "highest": repr(highest),
        }
        self.filled = 0
        self.facts: dict[str, float] = {}
        self._checksum = 0
        self._levels: NDArray[np.uint8] | None = None
        self._load()

    @classmethod
    def under(
        cls,
        root: Path,
        identity: Mapping[str, str | int],
        rows: int,
        length: int,
        highest: float,
    ) -> ScoreStore:
        """The store of this identity in a folder of its own under `root`."""
        text = json.dumps({**identity, "version": VERSION}, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        return cls(root / name, identity, rows, length, highest)

    @property
    def complete(self) -> bool:
        return self.filled == self.rows

    @contextmanager
    def filling(self) -> Iterator[ScoreStore]:
        """Exclusive right to append, over all processes of this machine; waits for it.

        On entry the store says again how far it is: another process may have filled it meanwhile.

        Raises:
            DiskFullError: there is no room for the whole store.
        """
        with disk_errors(_WHAT, self.folder):
            require_space(self.folder, self._missing(), _WHAT)
            self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            self._load()
            if self.filled == 0 and not self.complete:
                with disk_errors(_WHAT, self.folder):
                    self._allocate()
            yield self

    def append(self, scores: Tensor, **facts: float) -> None:
        """Commits the scores of the next rows; only within `filling`.

        Args:
            scores: [n, T], any device.
            facts: costs in seconds or FLOPs, summed over all commits in `self.facts`.

        Raises:
            InputError: a score is not finite.
            ValueError: too many rows, or of another length.
            DiskFullError: there is no room.
        """
        if scores.dim() != 2 or scores.shape[1] != self.length:
            raise ValueError(f"scores must be [n, {self.length}], not {tuple(scores.shape)}")
        if self.filled + len(scores) > self.rows:
            raise ValueError(
                f"{len(scores)} more rows than the store's {self.rows}, of which {self.filled} "
                "are filled"
            )
        if not bool(torch.isfinite(scores).all()):
            raise InputError(
                f"the teacher gives scores that are not finite, between rows {self.filled} and "
                f"{self.filled + len(scores) - 1}",
                "its weights are damaged, or it overflows in half precision",
            )
        scaled = scores.detach().to("cpu", torch.float32) * (_LEVELS / self.highest)
        levels = scaled.round().clamp(0, _LEVELS).to(torch.uint8).numpy()
        content = levels.tobytes()
        with disk_errors(_WHAT, self.folder):
            with self._data.open("r+b") as stream:
                stream.seek(self.filled * self.length)
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            self._checksum = zlib.crc32(content, self._checksum)
            self.filled += len(scores)
            for name, value in facts.items():
                self.facts[name] = self.facts.get(name, 0.0) + value
            self._write_progress()

    def read(self, row_ids: Tensor) -> Tensor:
        """Scores [B, T] float32, on the CPU, of the rows row_ids [B].

        Raises:
            ValueError: a row that is not in the store, or not filled yet.
        """
        wanted = row_ids.cpu().numpy()
        if len(wanted) and not 0 <= int(wanted.min()) <= int(wanted.max()) < self.filled:
            raise ValueError(
                f"rows {int(wanted.min())}..{int(wanted.max())} were asked for; the store has "
                f"0..{self.filled - 1}"
            )
        levels = torch.from_numpy(np.ascontiguousarray(self.levels[wanted]))
        return levels.to(torch.float32).mul_(self.highest / _LEVELS)

    @property
    def levels(self) -> NDArray[np.uint8]:
        """[N, T], from 0 to 255: the scores as they are stored; only `filled` rows count."""
        if self._levels is None:
            shape = (self.rows, self.length)
            self._levels = np.memmap(self._data, dtype=np.uint8, mode="r", shape=shape)
        return self._levels

    @property
    def _data(self) -> Path:
        return self.folder / "scores.u8"

    @property
    def _progress(self) -> Path:
        return self.folder / "progress.json"

    def _missing(self) -> int:
        """Bytes that the disk has to have free."""
        there = self._data.stat().st_size if self._data.is_file() else 0
        return max(0, self.rows * self.length - there)

    def _load(self) -> None:
        """Takes over what the folder holds, or nothing of it if it is damaged or another's."""
        self.filled, self._checksum, self.facts, self._levels = 0, 0, {}, None
        try:
            progress = json.loads(self._progress.read_text(encoding="utf-8"))
            filled, checksum = int(progress["filled"]), int(progress["checksum"])
            facts = {str(name): float(value) for name, value in progress["facts"].items()}
            usable = progress["identity"] == self.identity and 0 <= filled <= self.rows
            if not usable or self._data.stat().st_size != self.rows * self.length:
                return
            if _checksum(self._data, filled * self.length) != checksum:
                return
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        self.filled, self._checksum, self.facts = filled, checksum, facts

    def _allocate(self) -> None:
        """A fresh data file of the full size, all of it reserved on the disk."""
        self._progress.unlink(missing_ok=True)
        self._data.unlink(missing_ok=True)
        size = self.rows * self.length
        try:
            with self._data.open("wb") as stream:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(stream.fileno(), 0, size)
                else:  # macOS
                    stream.truncate(size)
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


def _checksum(path: Path, size: int) -> int:
    """CRC-32 of the first `size` bytes."""
    checksum = 0
    with path.open("rb") as stream:
        while size > 0 and (content := stream.read(min(size, _CHECKED_AT_ONCE))):
            checksum = zlib.crc32(content, checksum)
            size -= len(content)
    return checksum

"""A teacher's scores for every position of a corpus: one byte each, in a memory-mapped file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entromask.errors import InputError
from entromask.masking.levels import Scale, from_levels, to_levels
from entromask.masking.row_store import RowStore, folder_of

# Raised when the meaning of the bytes changes; an older store is then computed anew.
VERSION = 1
LEVELS = 255


class ScoreStore(RowStore):
    """Scores [N, T] between 0 and `highest`, rounded to 256 levels (error at most highest / 510).

    With scale `square` the levels are dense near zero: the error of a score s is at most about
    sqrt(s highest) / 255.

    Args:
        folder: of this store alone; made when the first rows are written.
        identity: what the scores depend on; a store with another identity is computed anew.
        rows, length: N and T.
        highest: the largest possible score, ln V nats for an entropy.
        scale: see `entromask.masking.levels`. Part of the identity, unless linear as in all stores
            of earlier versions, so that no store is read by another scale than it was written in.
    """

    WHAT = "the store of the teacher's scores"
    FILE = "scores.u8"

    def __init__(
        self,
        folder: Path,
        identity: Mapping[str, str | int],
        rows: int,
        length: int,
        highest: float,
        scale: Scale = "linear",
    ) -> None:
        self.length, self.highest, self.scale = length, highest, scale
        scores: dict[str, str | int] = {
            **identity,
            "version": VERSION,
            "length": length,
            "highest": repr(highest),
            **_scale_in_identity(scale),
        }
        super().__init__(folder, scores, rows, np.dtype((np.uint8, (length,))))

    @classmethod
    def under(
        cls,
        root: Path,
        identity: Mapping[str, str | int],
        rows: int,
        length: int,
        highest: float,
        scale: Scale = "linear",
    ) -> ScoreStore:
        """The store of this identity in a folder of its own under `root`."""
        folder = folder_of(root, {**identity, "version": VERSION, **_scale_in_identity(scale)})
        return cls(folder, identity, rows, length, highest, scale)

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
        self._check_room(len(scores))
        if not bool(torch.isfinite(scores).all()):
            raise InputError(
                f"the teacher gives scores that are not finite, between rows {self.filled} and "
                f"{self.filled + len(scores) - 1}",
                "its weights are damaged, or it overflows in half precision",
            )
        levels = to_levels(scores.detach().cpu(), self.highest, LEVELS, self.scale)
        self._commit(levels.numpy(), facts)

    def read(self, row_ids: Tensor) -> Tensor:
        """Scores [B, T] float32, on the CPU, of the rows row_ids [B].

        Raises:
            ValueError: a row that is not in the store, or not filled yet.
        """
        levels = torch.from_numpy(np.ascontiguousarray(self.levels[self._numbers(row_ids)]))
        return from_levels(levels, self.highest, LEVELS, self.scale)

    @property
    def levels(self) -> NDArray[np.uint8]:
        """[N, T], from 0 to 255: the scores as they are stored; only `filled` rows count."""
        return self.contents


def _scale_in_identity(scale: Scale) -> dict[str, str]:
    return {} if scale == "linear" else {"scale": scale}

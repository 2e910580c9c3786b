"""The scores of a model in training: one byte for each position of the corpus, refreshed in part.

A memory-mapped file beside the run; a checkpoint holds a copy, so that a run that goes on from it
selects the very same positions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from entromask.disk import disk_errors, require_space
from entromask.masking.levels import Scale, from_levels, to_levels

_LEVELS = 254
_NEVER = 255  # a position that has not been scored yet
# The mean of a token type follows the model: what is a thousand steps old has lost two thirds.
_DECAY = 0.999
_WHAT = "the scores of the model in training"


class RunningScores:
    """Scores [N, T] between 0 and `highest`, rounded to 255 levels; what is not known is guessed.

    Several processes of one machine share the file: each writes the same values.

    Args:
        path: of the file; made anew.
        rows, length, types: N, T and V.
        highest: the largest possible score, in nats.
        scale: see `entromask.masking.levels`.
        creates: whether this process makes the file.
        wait: until all processes have come this far.
    """

    def __init__(
        self,
        path: Path,
        rows: int,
        length: int,
        types: int,
        highest: float,
        creates: bool = True,
        wait: Callable[[], None] = lambda: None,
        scale: Scale = "linear",
    ) -> None:
        self.path, self.highest, self.scale = path, highest, scale
        if creates:
            with disk_errors(_WHAT, path.parent):
                require_space(path.parent, rows * length, _WHAT)
                path.parent.mkdir(parents=True, exist_ok=True)
                made = np.memmap(path, dtype=np.uint8, mode="w+", shape=(rows, length))
                made[:] = _NEVER
                made.flush()
        wait()
        self._levels = np.memmap(path, dtype=np.uint8, mode="r+", shape=(rows, length))
        self._sums = torch.zeros(types, dtype=torch.float64)
        self._counts = torch.zeros(types, dtype=torch.float64)

    def read(self, rows: Tensor, row_ids: Tensor) -> Tensor:
        """Scores [B, T] float32 in nats; rows: [B, T] token ids, row_ids: [B].

        A position that was never scored gets the mean of its token type, and a type that was never
        scored the mean of all.
        """
        levels = torch.from_numpy(np.ascontiguousarray(self._levels[row_ids.numpy()]))
        scores = from_levels(levels, self.highest, _LEVELS, self.scale)
        overall = self._sums.sum() / self._counts.sum().clamp(min=1e-9)
        means = torch.where(self._counts > 0, self._sums / self._counts.clamp(min=1e-9), overall)
        return torch.where(levels == _NEVER, means.float()[rows], scores)

    def update(self, rows: Tensor, row_ids: Tensor, scores: Tensor) -> None:
        """Takes over the scores [B, T] in nats that are not NaN; the others stay as they were."""
        known = ~scores.isnan()
        levels = to_levels(torch.nan_to_num(scores), self.highest, _LEVELS, self.scale)
        row, position = known.nonzero(as_tuple=True)
        self._levels[row_ids[row].numpy(), position.numpy()] = levels[known].numpy()
        types, values = rows[known], self._in_nats(levels[known])
        self._sums.mul_(_DECAY).index_add_(0, types, values)
        self._counts.mul_(_DECAY).index_add_(0, types, torch.ones_like(values))

    def _in_nats(self, levels: Tensor) -> Tensor:
        """Scores [n] float64 of levels [n], for the means of types."""
        if self.scale == "linear":
            return levels.double() * (self.highest / _LEVELS)
        return from_levels(levels, self.highest, _LEVELS, self.scale).double()

    @property
    def scored(self) -> float:
        """The share of the positions that were scored at least once."""
        return float((self._levels != _NEVER).mean())

    def tensors(self) -> dict[str, Tensor]:
        """A copy of all that the scores depend on."""
        levels = torch.from_numpy(np.array(self._levels))
        copied = {"levels": levels, "sums": self._sums.clone(), "counts": self._counts.clone()}
        # A copy without it, as all of earlier versions, has linear levels.
        return copied if self.scale == "linear" else copied | {"square": torch.ones(1)}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Goes back to what `tensors` gave."""
        levels = tensors["levels"]
        written: Scale = "square" if "square" in tensors else "linear"
        if written != self.scale:
            scores = from_levels(levels, self.highest, _LEVELS, written)
            again = to_levels(scores, self.highest, _LEVELS, self.scale)
            levels = torch.where(levels == _NEVER, levels, again)
        self._levels[:] = levels.numpy()
        self._sums.copy_(tensors["sums"])
        self._counts.copy_(tensors["counts"])

    def close(self) -> None:
        """Removes the file; the checkpoints keep their copies."""
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # others may have put something beside it
            self.path.parent.rmdir()

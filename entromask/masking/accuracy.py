"""Weights of token types by how often the model fails to predict them."""

from __future__ import annotations

import torch
from torch import Tensor

_EVERY = 200  # steps between two updates
_KEPT = 0.2  # of the old weight
# A type that is always right keeps a little weight: it would never be looked at again.
_LEAST = 1e-3


class AccuracyWeights:
    """ln w of each position's token type, w = 0.2 w + 0.8 (1 - accuracy), every 200 steps.

    The accuracy is that of the type's predictions since the last update; a type without any keeps
    its weight. AMLM, arXiv:2510.20475, section 3 (its factor p, the masking rate, is the same for
    all types, and sampling without replacement does not see it).

    Args:
        types: V.
    """

    def __init__(self, types: int) -> None:
        self.weights = torch.ones(types, dtype=torch.float64)
        self._counts = torch.zeros(2, types, dtype=torch.float64)
        self._steps = torch.zeros((), dtype=torch.int64)

    def __call__(self, rows: Tensor) -> Tensor:
        """Scores [B, T] float32 of the token ids rows [B, T], on the CPU."""
        return self.weights.log().float()[rows]

    def counted(self, targets: Tensor, correct: Tensor) -> Tensor:
        """[2, V] predictions and right predictions by type; targets [n] int64, correct [n] bool."""
        types = len(self.weights)
        right = torch.bincount(targets[correct], minlength=types)
        return torch.stack([torch.bincount(targets, minlength=types), right]).double()

    def update(self, counts: Tensor) -> None:
        """Hears of a step; counts: [2, V] of `counted`, over all processes."""
        self._counts += counts
        self._steps += 1
        if int(self._steps) % _EVERY:
            return
        predicted, right = self._counts
        failed = 1 - right / predicted.clamp(min=1)
        new = _KEPT * self.weights + (1 - _KEPT) * failed
        self.weights = torch.where(predicted > 0, new, self.weights).clamp(min=_LEAST)
        self._counts.zero_()

    def tensors(self) -> dict[str, Tensor]:
        return {"weights": self.weights, "counts": self._counts, "steps": self._steps}

    def load(self, tensors: dict[str, Tensor]) -> None:
        self.weights = tensors["weights"].clone()
        self._counts.copy_(tensors["counts"])
        self._steps.copy_(tensors["steps"])

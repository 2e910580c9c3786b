"""Scores from corpus counts alone: rare types score high. The control that needs no model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entromask.errors import InputError

_LEAST_COUNT = 10


class FrequencyScore:
    """-ln(max(count, 10) / total) of each position's token type, in nats.

    Sampled with temperature T, a type has the weight (count / total)^(-1/T): with T = 2 the
    weights F^-0.5 of WSBERT, with its threshold of 10 (arXiv:2302.14225, equation 1).

    Args:
        counts: [V], how often each type occurs in the training rows.

    Raises:
        InputError: the counts are not [V], negative, or all zero.
    """

    def __init__(self, counts: NDArray[Any] | Tensor) -> None:
        table = torch.as_tensor(np.asarray(counts)).to(torch.float64)
        if table.dim() != 1 or not len(table) or bool((table < 0).any()) or not bool(table.any()):
            raise InputError(
                f"counts of shape {tuple(table.shape)} are not one count for each token type",
                "give the counts of a packed corpus",
            )
        self.by_type = -(table.clamp(min=_LEAST_COUNT) / table.sum()).log().to(torch.float32)

    def __call__(self, rows: Tensor) -> Tensor:
        """Scores [B, T] float32 of the token ids rows [B, T], on their device."""
        if self.by_type.device != rows.device:
            self.by_type = self.by_type.to(rows.device)
        return self.by_type[rows]

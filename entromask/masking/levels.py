"""Scores in one byte each: how a score becomes a level, and a level a score again.

`linear` levels have equal distances. `square` levels are dense near zero: the score of level q of
L is highest (q / L)^2. A surprisal is near zero wherever a model is sure of the token, and equal
distances would give most of those positions one and the same level.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Scale = Literal["linear", "square"]


def scale_of(score: str) -> Scale:
    """The scale that a stored score has."""
    return "square" if score == "surprisal" else "linear"


def to_levels(scores: Tensor, highest: float, most: int, scale: Scale) -> Tensor:
    """Round scores in nats to uint8 levels from 0 to `most`, clamped between 0 and `highest`."""
    scores = scores.to(torch.float32)
    if scale == "square":
        scaled = (scores.clamp(min=0.0) / highest).sqrt_() * most
    else:
        scaled = scores * (most / highest)
    return scaled.round_().clamp_(0, most).to(torch.uint8)


def from_levels(levels: Tensor, highest: float, most: int, scale: Scale) -> Tensor:
    """The scores in nats, float32, of uint8 levels."""
    scores = levels.to(torch.float32)
    if scale == "square":
        return scores.square_().mul_(highest / most**2)
    return scores.mul_(highest / most)

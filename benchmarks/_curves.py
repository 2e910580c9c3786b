"""The curves of one long run, the same on both sides.

Plain Python: MLflow's interpreter reads it too.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

# By key: where it begins, where it ends, and how far a point lies from its curve.
SHAPES = {
    "training_loss": (7.6, 2.9, 0.12),
    "learning_rate": (2e-3, 1e-6, 0.0),
    "tokens_per_second": (21_000.0, 25_000.0, 900.0),
    "validation_loss": (7.4, 3.1, 0.02),
    "unigram_loss": (6.17, 6.17, 0.0),
    "distinct_type_share": (0.72, 0.86, 0.008),
    "mask_repeat_rate": (0.05, 0.15, 0.006),
    "validation_entropy": (6.9, 2.4, 0.03),
}


def steps_of(points: int) -> int:
    """The steps of each curve, where all of them together have `points` points."""
    return points // len(SHAPES)


def curve(key: str, steps: int) -> Iterator[tuple[int, float]]:
    """(step, value) from step 1: an exponential approach, with noise."""
    begin, end, noise = SHAPES[key]
    drawn = random.Random(key)
    for step in range(1, steps + 1):
        share = math.exp(-5 * step / steps)
        yield step, end + (begin - end) * share + (drawn.gauss(0, noise) if noise else 0.0)

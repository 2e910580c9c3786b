"""The masking rate over a run: one number, or a schedule."""

from __future__ import annotations

import math

from entromask.spec import RateSchedule


def rate_at(rate: float | RateSchedule, progress: float) -> float:
    """The share of the maskable tokens to select when `progress` of the run is done.

    linear: start + (end - start) p. cosine: half a cosine, start + (end - start)
    (1 - cos(pi p)) / 2. cyclic: start + (end - start) (1 - cos(2 pi cycles p)) / 2, so that each
    cycle begins and ends at `start` and is at `end` halfway.

    Args:
        progress: p, from 0 at the first step to 1 at the end.

    Raises:
        ValueError: progress is not between 0 and 1.
    """
    if not 0.0 <= progress <= 1.0:
        raise ValueError(f"progress must be between 0 and 1, not {progress}")
    if not isinstance(rate, RateSchedule):
        return float(rate)
    return rate.start + (rate.end - rate.start) * _way(rate, progress)


def _way(rate: RateSchedule, progress: float) -> float:
    """How far from `start` (0) to `end` (1) the rate is."""
    if rate.schedule == "linear":
        return progress
    half_turns = 1 if rate.schedule == "cosine" else 2 * rate.cycles
    return (1.0 - math.cos(math.pi * half_turns * progress)) / 2.0

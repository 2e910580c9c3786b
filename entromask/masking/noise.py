"""Stateless uniform noise: a hash of (seed, stream, epoch, row, position).

A mask made from it never depends on the batch, the number of workers or the device.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_BITS = (1 << 64) - 1


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    return ((value & _BITS) ^ (1 << 63)) - (1 << 63)


# Increment, multipliers and shifts of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
_INCREMENT = 0x9E3779B97F4A7C15
_ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_LAST_SHIFT = 31
# A uniform number is made of the highest 52 bits: with one half added, exact in float64.
_FRACTION = 52


def uniform(seed: int, stream: int | str, epoch: int, row_ids: Tensor, length: int) -> Tensor:
    """Independent uniform noise for the positions 0..length-1 of the given rows.

    Args:
        seed: of the run, any integer.
        stream: what the noise is for; streams are independent of each other.
        epoch: any integer.
        row_ids: [B] int64, the rows' numbers in the corpus.
        length: T.

    Returns:
        [B, T] float64 in (0, 1), on the device of row_ids; bit for bit the same on any device.
    """
    key = 0
    for part in (seed, _stream_number(stream), epoch):
        key = _mixed_number(key + part)
    # A row is mixed once, by itself; then every position of it.
    rows = _mixed(row_ids * _signed(_INCREMENT) + _signed(key))
    steps = torch.arange(1, length + 1, device=row_ids.device) * _signed(_INCREMENT)
    hashed = _mixed(rows[:, None] + steps)
    high = _shifted(hashed, 64 - _FRACTION)
    return high.to(torch.float64).add_(0.5).mul_(2.0**-_FRACTION)


def _mixed(state: Tensor) -> Tensor:
    """SplitMix64's output function, element by element; int64 arithmetic wraps around."""
    for shift, multiplier in _ROUNDS:
        state = (state ^ _shifted(state, shift)).mul_(_signed(multiplier))
    return state ^ _shifted(state, _LAST_SHIFT)


def _shifted(state: Tensor, count: int) -> Tensor:
    """Logical shift to the right; torch's own keeps the sign."""
    return (state >> count).bitwise_and_((1 << (64 - count)) - 1)


def _mixed_number(value: int) -> int:
    """The same output function for one Python integer, with the increment added first."""
    state = (value + _INCREMENT) & _BITS
    for shift, multiplier in _ROUNDS:
        state = ((state ^ (state >> shift)) * multiplier) & _BITS
    return state ^ (state >> _LAST_SHIFT)


def _stream_number(stream: int | str) -> int:
    if isinstance(stream, int):
        return stream
    return int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little")

"""What becomes of a selected position: the mask token, a random token, or itself."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from entromask.spec import Corruption


def corrupt(
    rows: Tensor,
    selected: Tensor,
    shares: Corruption,
    mask_id: int,
    ordinary: Tensor,
    noise: Callable[[str], Tensor],
) -> Tensor:
    """The rows that the model sees; positions that are not selected stay as they are.

    Args:
        rows: [B, T] token ids.
        selected: [B, T] bool.
        shares: of the selected positions; each position draws for itself.
        ordinary: [n] the token ids that a random token is drawn from, each equally likely.
        noise: name of a stream -> [B, T] uniform noise in (0, 1).

    Returns:
        [B, T] token ids.
    """
    draw = noise("corruption")
    corrupted = rows.masked_fill(selected & (draw < shares.mask), mask_id)
    if shares.random == 0.0:
        return corrupted
    # Compared from above: 0.8 + 0.1 is not exactly 1 - 0.1, and with keep = 0 none may be kept.
    replaced = selected & (draw >= shares.mask) & (draw < 1.0 - shares.keep)
    random = ordinary[(noise("token") * len(ordinary)).to(torch.int64)]
    return torch.where(replaced, random, corrupted)

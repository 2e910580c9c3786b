"""Exactly k positions of each row, chosen by their scores, one by one or in units."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from entromask.masking.units import first_positions, unit_means

# Beyond every real score, and still fine enough for noise to order equal ones.
_EXTREME = 1e9

# rank [T] (0 = highest score) x maskable tokens n [B, 1] x budget k [B, 1] -> selected [B, T].
_RANKS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "top": lambda rank, n, k: rank < k,
    "bottom": lambda rank, n, k: (rank >= n - k) & (rank < n),
    # With an odd remainder the window stands one rank nearer to the top.
    "middle": lambda rank, n, k: (rank >= (n - k) // 2) & (rank < (n - k) // 2 + k),
    "ends": lambda rank, n, k: (rank < (k + 1) // 2) | ((rank >= n - k // 2) & (rank < n)),
}
HARD_SELECTIONS = tuple(_RANKS)
SELECTIONS = ("sample", *_RANKS)


def budget(maskable: Tensor, rate: float) -> Tensor:
    """[B] int64: max(1, round(rate x maskable tokens)) for each row, 0 for a row with none.

    Halves are rounded to the even number, as Python's `round` does. maskable: [B, T] bool.
    """
    count = maskable.sum(1)
    wanted = torch.round(count.to(torch.float64) * rate).to(torch.int64)
    return torch.minimum(wanted.clamp_(min=1), count)


def select(
    scores: Tensor | None,
    maskable: Tensor,
    *,
    rate: float,
    rule: str,
    noise: Callable[[str], Tensor],
    temperature: float = 1.0,
    explore: float = 0.0,
    starts: Tensor | None = None,
) -> Tensor:
    """The positions to predict: exactly `budget(maskable, rate)` in each row.

    `sample` draws without replacement with weights exp(score / temperature), by the Gumbel top-k
    trick (Kool et al. 2019, arXiv:1903.06059); the other rules take ranks, with ties in random
    order. `explore` is the share of the budget that is drawn uniformly from the positions that
    the rule left over; a broken number of them is rounded up or down at random, so that the
    share holds on average.

    With `starts`, whole units are drawn and ranked: a unit has the mean score of its positions
    and one draw of noise, and its positions follow one another in the ranking, in their order.
    The budget still holds exactly: where the positions taken from a ranking begin or end within
    a unit, it is cut. So one unit a row at most is not whole, two with `middle` and `ends`, and
    one more with `explore`.

    Args:
        scores: [B, T] or None for uniform positions. A NaN ranks as the lowest score, an infinite
            one as the lowest or highest.
        maskable: [B, T] bool.
        rule: one of SELECTIONS; without scores every rule is uniform.
        noise: name of a stream -> [B, T] uniform noise in (0, 1).
        starts: [B, T] bool, True where a unit begins; units hold maskable positions alone, or
            none. None: each position is a unit.

    Returns:
        [B, T] bool.
    """
    if starts is not None:
        first = first_positions(starts)
        scores = None if scores is None else unit_means(scores, first)
        noise = _of_units(noise, first)
    whole = starts is not None
    k = budget(maskable, rate)[:, None]
    most = max(1, round(rate * maskable.shape[1]))
    if scores is None:
        return _highest(noise("selection"), maskable, k, most, whole)
    if explore == 0.0:
        return _by_rule(scores, maskable, k, most, rule, noise, temperature, whole)
    explored = (k * explore + noise("explore-share")[:, :1]).floor().to(torch.int64)
    explored = torch.minimum(explored, k)
    chosen = _by_rule(scores, maskable, k - explored, most, rule, noise, temperature, whole)
    return chosen | _highest(noise("explore"), maskable & ~chosen, explored, most, whole)


def decided_by_ties(
    scores: Tensor,
    maskable: Tensor,
    *,
    rate: float,
    rule: str,
    explore: float = 0.0,
    starts: Tensor | None = None,
) -> tuple[int, int]:
    """How much of what a hard rule selects is decided by the random order of equal scores.

    Positions (or units, with `starts`) of one score are decided so where the rule takes some of
    them and leaves others.

    Args:
        scores, maskable, rate, rule, explore, starts: as of `select`; no `sample`.

    Returns:
        The positions that are decided by ties, and all that the rule selects, over the rows.
    """
    length = scores.shape[1]
    first = torch.arange(length, device=scores.device).expand(scores.shape)
    if starts is not None:
        first = first_positions(starts)
        scores = unit_means(scores, first)
    k = budget(maskable, rate)[:, None]
    k = k - torch.round(k * explore).to(torch.int64)
    n = maskable.sum(1, keepdim=True)
    finite = torch.nan_to_num(scores.to(torch.float32), -_EXTREME, _EXTREME, -_EXTREME)
    finite = finite.masked_fill(~maskable, -torch.inf)
    ordered, order = finite.sort(dim=1, descending=True, stable=True)
    rank = torch.arange(length, device=scores.device)
    taken = _RANKS[rule](rank, n, k) & (rank < n)
    new = torch.ones_like(taken)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    group = new.cumsum(1) - 1

    def per_group(values: Tensor) -> Tensor:
        return torch.zeros_like(group).scatter_add_(1, group, values.to(torch.int64))

    units = (first == torch.arange(length, device=scores.device)).gather(1, order)
    selected, size = per_group(taken), per_group(rank < n)
    # A single unit that is cut by the budget is no tie.
    tied = (selected > 0) & (selected < size) & (per_group(units & (rank < n)) > 1)
    return int((selected * tied).sum()), int(taken.sum())


def _of_units(noise: Callable[[str], Tensor], first: Tensor) -> Callable[[str], Tensor]:
    """The noise of each unit's first position at all of its positions."""
    return lambda stream: noise(stream).gather(1, first)


def _by_rule(
    scores: Tensor,
    maskable: Tensor,
    k: Tensor,
    most: int,
    rule: str,
    noise: Callable[[str], Tensor],
    temperature: float,
    whole: bool,
) -> Tensor:
    if rule == "sample":
        finite = torch.nan_to_num(scores.to(torch.float64), -_EXTREME, _EXTREME, -_EXTREME)
        gumbel = -torch.log(-torch.log(noise("selection")))
        return _highest(finite / temperature + gumbel, maskable, k, most, whole)
    finite = torch.nan_to_num(scores.to(torch.float32), -_EXTREME, _EXTREME, -_EXTREME)
    keys = _sortable(finite, noise("selection"), maskable)
    order = keys.argsort(dim=1, descending=True, stable=whole)
    rank = torch.arange(scores.shape[1], device=scores.device)
    taken = _RANKS[rule](rank, maskable.sum(1, keepdim=True), k)
    return torch.zeros_like(maskable).scatter_(1, order, taken)


def _highest(keys: Tensor, maskable: Tensor, k: Tensor, most: int, whole: bool) -> Tensor:
    """The k maskable positions of each row with the highest keys; k <= most.

    `whole`: equal keys are those of one unit, and stay in the order of their positions.
    """
    keys = keys.masked_fill(~maskable, -torch.inf)
    if whole:
        order = keys.argsort(dim=1, descending=True, stable=True)[:, :most]
    else:
        order = keys.topk(most, dim=1).indices
    taken = torch.arange(most, device=keys.device) < k
    return torch.zeros_like(maskable).scatter_(1, order, taken)


def _sortable(scores: Tensor, noise: Tensor, maskable: Tensor) -> Tensor:
    """int64 keys that order by score, equal scores by noise, what is not maskable last.

    The bits of a float32 order as an integer once those of negative numbers are turned over.
    """
    bits = (scores + 0.0).contiguous().view(torch.int32)  # + 0.0 makes -0.0 equal to 0.0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    keys = (ordered.to(torch.int64) << 32) | (noise * 2.0**32).to(torch.int64)
    return keys.masked_fill(~maskable, torch.iinfo(torch.int64).min)

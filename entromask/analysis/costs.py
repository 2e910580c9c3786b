"""What the methods of an experiment cost, and how their losses fell."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from statistics import fmean

from entromask.analysis.cells import CellRuns
from entromask.analysis.table import entry
from entromask.wire.summary import CurvePoint, SummaryCost

_QUANTITIES = (
    *("tokens", "flops", "seconds", "tokens_per_second"),
    *("scoring_flops", "scoring_seconds"),
)
# What each is set in relation to.
_RELATIVE = {
    **{name: name for name in ("tokens", "flops", "seconds", "tokens_per_second")},
    "scoring_flops": "flops",
    "scoring_seconds": "seconds",
}
# Of a curve: more points cannot be told apart.
_MOST_POINTS = 200


def cost(cell: CellRuns, baseline: CellRuns | None) -> SummaryCost | None:
    """The means over a cell's finished runs; None where there is none."""
    found = _means(cell)
    if not cell.finished:
        return None
    home = _means(baseline) if baseline is not None else {}
    relative = {
        name: found[name] / home[of]
        for name, of in _RELATIVE.items()
        if name in found and home.get(of)
    }
    return SummaryCost(**found, relative=relative)


def total_flops(of: SummaryCost | None) -> float | None:
    """Of pretraining and of the teacher's scores together; None where pretraining's are unknown."""
    if of is None or of.flops is None:
        return None
    return of.flops + (of.scoring_flops or 0.0)


def _means(cell: CellRuns) -> Mapping[str, float]:
    numbers = {
        name: [x for _, run in cell.finished if (x := entry("cost", name)(run)) is not None]
        for name in _QUANTITIES
    }
    return {name: fmean(found) for name, found in numbers.items() if found}


def curve(cell: CellRuns) -> list[CurvePoint]:
    """The mean and the range over seeds at each step, of at most 200 steps.

    Where some run has succeeded, only runs that have are part of it: a mean whose members change
    on the way jumps.
    """
    done = [one for one in cell.runs if one.status == "succeeded" and one.curve]
    losses: dict[int, list[float]] = {}
    for one in done or cell.runs:
        for step, loss in one.curve:
            if isfinite(loss):
                losses.setdefault(step, []).append(loss)
    steps = sorted(losses)
    every = max(1, -(-len(steps) // _MOST_POINTS))
    return [
        CurvePoint(
            step=step,
            n=len(losses[step]),
            mean=fmean(losses[step]),
            low=min(losses[step]),
            high=max(losses[step]),
        )
        for step in steps[::-every][::-1]
    ]

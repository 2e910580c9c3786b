"""The statistics of an experiment: each method by each measure, and its tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from entromask.analysis.cells import CellRuns
from entromask.analysis.measures import collapsed, comparable, floors
from entromask.analysis.statistics import (
    Difference,
    SeedScores,
    difference,
    estimate,
    holm,
    seeds_needed,
    seeds_needed_range,
)
from entromask.wire.summary import SummaryDifference, SummaryMeasure, SummaryResult

# A difference of one point, of scores that are shown times 100.
POINT = 0.01

Scores = Callable[[CellRuns, SummaryMeasure], SeedScores]
Results = dict[str, list[SummaryResult]]


def results(
    cells: Sequence[CellRuns], measures: Sequence[SummaryMeasure], scores: Scores, level: float
) -> Results:
    """By cell, its results with their differences; p is not yet corrected.

    Compared with the baseline are methods and controls that were trained as long as it.

    Args:
        cells: those with finished runs; no teachers.
        scores: a cell's runs by a measure, with what its test examples give when resampled.
    """
    by_key = {cell.key: cell for cell in cells}
    at_compute = {cell.matched for cell in cells}
    found: Results = {cell.key: [] for cell in cells}
    for measure in measures:
        measured = {cell.key: scores(cell, measure) for cell in cells}
        for cell in cells:
            result = _result(cell, measure, measured[cell.key], level)
            if result is None:
                continue
            # A floor, and a control with more steps, are no rivals of the baseline: each test that
            # is made without need takes power from all others.
            rival = cell.pretrained and cell.key not in at_compute
            for at, key in (("steps", cell.baseline if rival else None), ("compute", cell.matched)):
                other = by_key.get(key or "")
                if other is None or not comparable(cell, other, measure):
                    continue
                against = difference(
                    measured[cell.key],
                    measured[other.key],
                    higher_is_better=measure.higher_is_better,
                    level=level,
                )
                if against is not None:
                    result.differences.append(_difference(against, other.key, at, measure, level))
            found[cell.key].append(result)
    return found


def _result(
    cell: CellRuns, measure: SummaryMeasure, scores: SeedScores, level: float
) -> SummaryResult | None:
    found = estimate(scores, level)
    if found is None:
        return None
    values = dict(scores.scores)
    return SummaryResult(
        measure=measure.key,
        n=found.n,
        mean=found.mean,
        sd=found.sd,
        median=found.median,
        low=found.low,
        high=found.high,
        per_seed={str(seed): value for seed, value in sorted(values.items())},
        collapsed=collapsed(list(values.values()), measure),
    )


def _difference(
    found: Difference, to: str, at: str, measure: SummaryMeasure, level: float
) -> SummaryDifference:
    return SummaryDifference.model_validate(
        {
            **{"to": to, "at": at, "n": found.n, "paired": found.paired, "mean": found.mean},
            **{"sd": found.sd, "low": found.low, "high": found.high, "p": found.p},
            "probability_of_improvement": found.probability_of_improvement,
            "seeds_for_difference": seeds_needed(found, abs(found.mean), level=level),
            "seeds_for_point": (
                seeds_needed(found, POINT, level=level) if measure.unit == "score" else None
            ),
            "seeds_for_difference_range": seeds_needed_range(found, abs(found.mean), level=level),
            "seeds_for_point_range": (
                seeds_needed_range(found, POINT, level=level) if measure.unit == "score" else None
            ),
        }
    )


def correct(found: Results) -> int:
    """Corrects the p values of all differences as one family; how many there are."""
    tested = [
        one
        for of_cell in found.values()
        for result in of_cell
        for one in result.differences
        if one.p is not None
    ]
    for one, corrected in zip(tested, holm([one.p for one in tested]), strict=True):
        one.p_holm = corrected
    return len(tested)


def rank(
    families: Mapping[str, Sequence[CellRuns]],
    measures: Sequence[SummaryMeasure],
    found: Results,
) -> None:
    """Says of each result whether it is above its floors, and of each family which is best.

    Where nothing is above the floors nothing is best, nor where two are equal. The model without
    pretraining is a floor itself, and never the best.
    """
    for family in families.values():
        trained = [cell for cell in family if cell.pretrained]
        home = next((cell for cell in family if cell.role == "baseline"), family[0])
        for measure in measures:
            known = floors(family, measure)
            ranked = []
            for cell in trained:
                result = result_of(found[cell.key], measure.key)
                if result is None:
                    continue
                if known:
                    result.above_floors = all(result.mean > floor for floor in known)
                if comparable(cell, home, measure):
                    ranked.append(result)
            _mark(ranked, measure)


def _mark(ranked: Sequence[SummaryResult], measure: SummaryMeasure) -> None:
    if len(ranked) < 2 or all(result.above_floors is False for result in ranked):
        return
    sign = 1.0 if measure.higher_is_better else -1.0
    ordered = sorted(ranked, key=lambda result: sign * result.mean, reverse=True)
    if sign * (ordered[0].mean - ordered[1].mean) > 1e-12:
        ordered[0].best = True


def result_of(of_cell: Sequence[SummaryResult], measure: str) -> SummaryResult | None:
    """A cell's result by a measure; None where it has none."""
    return next((result for result in of_cell if result.measure == measure), None)

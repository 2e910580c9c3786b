"""What an experiment's number of seeds can show, in words."""

from __future__ import annotations

from collections.abc import Sequence

from entromask.analysis.cells import CellRuns
from entromask.analysis.measures import short_label
from entromask.analysis.results import Results, result_of
from entromask.analysis.statistics import MOST_SEEDS
from entromask.wire.summary import SummaryDifference, SummaryMeasure


def power_words(
    cells: Sequence[CellRuns], measures: Sequence[SummaryMeasure], found: Results
) -> str:
    """Sentences on the seeds that a difference of one point of score would take."""
    said = []
    for measure in measures:
        if measure.unit != "score":
            continue
        tested = [
            one
            for cell in cells
            if cell.role == "method"
            and (result := result_of(found[cell.key], measure.key)) is not None
            for one in result.differences
            if one.at == "steps" and one.p is not None
        ]
        if tested:
            said.append(f"{short_label(measure)}: {_needed(tested)}")
    if not said:
        return ""
    return (
        "Pretraining seeds that would show a true difference of one point (0.01 of score) to the "
        "baseline with a probability of 80%, before the correction for many tests. The variance of "
        "so few seeds is itself uncertain: the range is for its 5% and 95% quantiles, over the "
        f"methods: {'; '.join(said)}."
    )


def seed_range(ends: Sequence[int | None] | None) -> str:
    """The two ends of a range of seeds in words; empty where nothing is known."""
    if ends is None:
        return ""
    low, high = (f">{MOST_SEEDS:,}" if end is None else f"{end:,}" for end in ends)
    return low if low == high else f"{low} to {high}"


def _needed(tested: Sequence[SummaryDifference]) -> str:
    ranges = [one.seeds_for_point_range for one in tested if one.seeds_for_point_range is not None]
    if not ranges:
        return "not known, as the runs came out alike"
    beyond = MOST_SEEDS + 1
    low, high = (
        pick(end if end is not None else beyond for end in ends)
        for pick, ends in zip((min, max), zip(*ranges, strict=True), strict=True)
    )
    if low == beyond:
        return f"more than {MOST_SEEDS:,}, as the test examples are too few"
    return seed_range([end if end < beyond else None for end in (low, high)])

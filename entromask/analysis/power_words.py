"""What an experiment's number of seeds can show, in words."""

from __future__ import annotations

from collections.abc import Sequence

from entromask.analysis.cells import CellRuns
from entromask.analysis.measures import short_label
from entromask.analysis.results import Results, result_of
from entromask.analysis.wording import counted
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
        "baseline with a probability of 80%, before the correction for many tests, by the "
        "variances found here, which few seeds make rough (a range is over the methods): "
        f"{'; '.join(said)}."
    )


def _needed(tested: Sequence[SummaryDifference]) -> str:
    known = [one.seeds_for_point for one in tested if one.seeds_for_point is not None]
    if not known:
        return "more than 1,000, as the test examples are too few"
    low, high = min(known), max(known)
    text = str(low) if low == high else f"{low} to {high}"
    beyond = len(tested) - len(known)
    return f"{text} (for {counted(beyond, 'method')} more than 1,000)" if beyond else text

"""The numbers of a report as CSV: one line for each cell and measure, costs included."""

from __future__ import annotations

import csv
import io
from typing import Any

from entromask.wire.summary import (
    ExperimentSummary,
    SummaryCell,
    SummaryDifference,
    SummaryMeasure,
    SummaryResult,
)

_DIFFERENCE = (
    *("to", "n", "paired", "mean", "sd", "low", "high", "p", "p_holm"),
    *("probability_of_improvement", "seeds_for_difference", "seeds_for_point"),
)
# Each is two columns, _low and _high; an end beyond 1,000 seeds is empty.
_RANGES = ("seeds_for_difference", "seeds_for_point")
_AT = ("steps", "compute")
_RESULT = ("n", "mean", "sd", "median", "low", "high", "collapsed", "above_floors", "best")
_COSTS = {
    "tokens": "count",
    "flops": "flops",
    "seconds": "seconds",
    "tokens_per_second": "rate",
    "scoring_flops": "flops",
    "scoring_seconds": "seconds",
}
HEAD = (
    *("cell", "label", "role", "kind", "measure", "tasks", "unit", "higher_is_better", "rows"),
    *_RESULT,
    *("per_seed", "level", "majority_floor", "untrained_floor"),
    *(f"steps_{name}" for name in _DIFFERENCE),
    *(f"compute_{name}" for name in _DIFFERENCE),
    "relative_to_baseline",
    *(f"{at}_{name}_{end}" for at in _AT for name in _RANGES for end in ("low", "high")),
)


def to_csv(summary: ExperimentSummary) -> str:
    """Raw numbers: scores between 0 and 1, losses in nats; what is not known is empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, HEAD, restval="", lineterminator="\n")
    writer.writeheader()
    measures = {measure.key: measure for measure in summary.measures}
    for cell in summary.cells:
        for result in cell.results:
            writer.writerow(_plain(_of_result(summary, cell, measures[result.measure], result)))
        if cell.cost is not None:
            for name, unit in _COSTS.items():
                if (value := getattr(cell.cost, name)) is not None:
                    line = _of_cell(cell) | {"kind": "cost", "measure": name, "unit": unit}
                    relative = cell.cost.relative.get(name)
                    writer.writerow(
                        _plain(line | {"mean": value, "relative_to_baseline": relative})
                    )
    return out.getvalue()


def _of_cell(cell: SummaryCell) -> dict[str, Any]:
    return {"cell": cell.key, "label": cell.label, "role": cell.role}


def _of_result(
    summary: ExperimentSummary, cell: SummaryCell, measure: SummaryMeasure, result: SummaryResult
) -> dict[str, Any]:
    line = _of_cell(cell) | {
        "kind": measure.kind,
        "measure": measure.key,
        "tasks": "+".join(measure.tasks),
        "unit": measure.unit,
        "higher_is_better": measure.higher_is_better,
        "rows": measure.rows,
        "per_seed": ";".join(f"{seed}={value!r}" for seed, value in result.per_seed.items()),
        "level": summary.level,
        "majority_floor": measure.majority,
        "untrained_floor": measure.untrained.high if measure.untrained else None,
        **{name: getattr(result, name) for name in _RESULT},
    }
    for one in result.differences:
        line |= _of_difference(one)
    return line


def _of_difference(one: SummaryDifference) -> dict[str, Any]:
    line = {f"{one.at}_{name}": getattr(one, name) for name in _DIFFERENCE}
    for name in _RANGES:
        low, high = getattr(one, f"{name}_range") or (None, None)
        line |= {f"{one.at}_{name}_low": low, f"{one.at}_{name}_high": high}
    return line


def _plain(line: dict[str, Any]) -> dict[str, str]:
    """Numbers in full; a text that a spreadsheet would take for a formula begins with a quote."""
    return {key: _text(value) for key, value in line.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return repr(value)

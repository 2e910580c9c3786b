"""A comparison as the API shows it: plain data, fields as in `entromask.resources`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from entromask.analysis.runs import Run
from entromask.analysis.spec_differences import spec_differences
from entromask.analysis.table import Column, Comparison, Row
from entromask.analysis.wording import difference, show

_AS_THEY_ARE = ("section", "key", "label", "unit", "higher_is_better", "comparable", "best")


def comparison_view(found: Comparison) -> dict[str, Any]:
    """A comparison, as `resources.Comparison`."""
    return {
        "object": "comparison",
        "columns": [_column(column) for column in found.columns],
        "rows": [_row(found, row) for row in found.rows],
        "baseline": found.baseline,
        "notes": found.notes,
        "warnings": found.warnings,
        "differences": [asdict(one) for one in spec_differences(found.columns)],
    }


def _column(column: Column) -> dict[str, Any]:
    runs = [_run(run) for run in column.runs]
    return {"label": column.label, "group_hash": column.runs[0].group, "runs": runs}


def _run(run: Run) -> dict[str, Any]:
    masking = run.spec.masking
    strategy = masking.preset or masking.score
    return {"id": run.id, "name": run.name, "seed": run.spec.seed, "strategy": strategy}


def _row(found: Comparison, row: Row) -> dict[str, Any]:
    view: dict[str, Any] = {name: getattr(row, name) for name in _AS_THEY_ARE}
    view["majority"] = row.majority
    view["untrained"] = (
        dict(zip(("low", "high"), row.untrained, strict=True)) if row.untrained else None
    )
    view["size"] = row.size
    view["values"] = [asdict(value) if value else None for value in row.values]
    view["shown"] = [show(value, row.unit) for value in row.values]
    view["differences"] = [_difference(found, row, column) for column in range(len(row.values))]
    return view


def _difference(found: Comparison, row: Row, column: int) -> str | None:
    if found.baseline is None or column == found.baseline:
        return None
    return difference(row.values[column], row.values[found.baseline], row)

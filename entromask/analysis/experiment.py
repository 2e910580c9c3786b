"""An experiment, methods x seeds, summarised: statistics, costs, curves, notes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from entromask.analysis.cells import CellRuns, SeedRun, families
from entromask.analysis.costs import cost, curve
from entromask.analysis.experiment_notes import notes, warnings
from entromask.analysis.measures import measures
from entromask.analysis.power_words import power_words
from entromask.analysis.report.methods_paragraph import methods_paragraph
from entromask.analysis.results import correct, rank, results
from entromask.analysis.seed_scores import seed_scores
from entromask.errors import InputError
from entromask.wire.summary import (
    ExperimentSummary,
    RunCounts,
    SummaryCell,
    SummaryRun,
)

__all__ = ["CellRuns", "SeedRun", "summarize"]


def summarize(
    *,
    id: str,
    name: str,
    status: str,
    created_at: float | None,
    cells: Sequence[CellRuns],
    level: float = 0.95,
) -> ExperimentSummary:
    """What an experiment has found so far; an unfinished one says what is missing.

    Args:
        cells: in the order to show them in.
        level: of the intervals.

    Raises:
        InputError: two cells with one key, or a comparison with a cell that is not there.
    """
    _check(cells)
    by_key = {cell.key: cell for cell in cells}
    grouped = families(cells)
    measured = [cell for cell in cells if cell.role != "teacher" and cell.finished]
    known = measures(measured)
    found = results(measured, known, seed_scores, level)
    tests = correct(found)
    rank(grouped, known, found)
    costs = {cell.key: cost(cell, by_key.get(cell.baseline or "")) for cell in cells}
    return ExperimentSummary(
        id=id,
        name=name,
        status=status,
        created_at=created_at,
        level=level,
        tests=tests,
        runs=_counts(cells),
        measures=known,
        cells=[
            SummaryCell(
                key=cell.key,
                label=cell.label,
                role=cell.role,
                pretrained=cell.pretrained,
                settings=dict(cell.settings),
                baseline=cell.baseline,
                matched=cell.matched,
                runs=[SummaryRun(id=one.id, seed=one.seed, status=one.status) for one in cell.runs],
                results=found.get(cell.key, []),
                cost=costs[cell.key],
                curve=curve(cell),
            )
            for cell in cells
        ],
        power=power_words(measured, known, found),
        methods_paragraph=methods_paragraph(cells, level, tests),
        notes=notes(cells, grouped, known, found, costs),
        warnings=warnings(cells),
    )


def _check(cells: Sequence[CellRuns]) -> None:
    keys = [cell.key for cell in cells]
    for key in keys:
        if keys.count(key) > 1:
            raise InputError(f"two cells have the key '{key}'", "give each cell a key of its own")
    for cell in cells:
        for other in (cell.baseline, cell.matched):
            if other is not None and other not in keys:
                raise InputError(
                    f"cell '{cell.key}' is compared with '{other}', which is not there",
                    f"the cells are {', '.join(keys)}",
                )


def _counts(cells: Sequence[CellRuns]) -> RunCounts:
    by_status = Counter(one.status for cell in cells for one in cell.runs)
    ended = {status: by_status[status] for status in ("succeeded", "failed", "cancelled")}
    planned = by_status.total()
    return RunCounts(planned=planned, unfinished=planned - sum(ended.values()), **ended)

"""The paper's table: methods x measures, with floors, marks and relative costs."""

from __future__ import annotations

from collections.abc import Sequence

from entromask.analysis.measures import short_label
from entromask.analysis.report.document import Block, Bullets, Cell, Table
from entromask.analysis.results import result_of
from entromask.analysis.table import Value
from entromask.analysis.wording import counted, show, task_title
from entromask.wire.summary import (
    ExperimentSummary,
    SummaryCell,
    SummaryMeasure,
    SummaryResult,
)

SIGNIFICANT = 0.05
NOTHING = "–"
# Of a difference at equal steps, and at equal compute.
MARKS = {"steps": "†", "compute": "‡"}
# Relative costs, and their columns.
_COSTS = (("flops", "FLOPs ×"), ("scoring_flops", "scoring ×"), ("seconds", "time ×"))


def results_blocks(summary: ExperimentSummary) -> list[Block]:
    """The table and what its signs mean; nothing where no run has finished."""
    if not summary.measures:
        return []
    costs = [(key, head) for key, head in _COSTS if _some_cost(summary, key)]
    heads = [short_label(measure) for measure in summary.measures]
    rows = _floor_rows(summary, len(costs))
    rules = [len(rows)] if rows else []
    shown = [cell for cell in summary.cells if cell.role != "teacher"]
    family = None
    for cell in shown:
        if family is not None and (cell.baseline or cell.key) != family:
            rules.append(len(rows))
        family = cell.baseline or cell.key
        rows.append(_row(summary, cell, [key for key, _ in costs]))
    table = Table(
        ("Method", "Seeds", *heads, *(head for _, head in costs)), tuple(rows), rules=tuple(rules)
    )
    return [table, Bullets(tuple(_legend(summary, [key for key, _ in costs])))]


def _some_cost(summary: ExperimentSummary, key: str) -> bool:
    return any(cell.cost and key in cell.cost.relative for cell in summary.cells)


def _floor_rows(summary: ExperimentSummary, costs: int) -> list[tuple[Cell, ...]]:
    rows = []
    measures = summary.measures
    if any(measure.majority is not None for measure in measures):
        texts = [_number(measure.majority) for measure in measures]
        rows.append(_texts("majority class", texts, costs))
    own = any(not cell.pretrained and cell.results for cell in summary.cells)
    if not own and any(measure.untrained for measure in measures):
        rows.append(_texts("no pretraining (floor)", [_range(m) for m in measures], costs))
    return rows


def _texts(label: str, texts: Sequence[str], costs: int) -> tuple[Cell, ...]:
    return tuple(map(Cell, (label, "", *texts, *[""] * costs)))


def _number(value: float | None) -> str:
    return "" if value is None else show(Value(value), "score")


def _range(measure: SummaryMeasure) -> str:
    floor = measure.untrained
    if floor is None:
        return ""
    low, high = _number(floor.low), _number(floor.high)
    return low if low == high else f"{low}–{high}"


def _row(summary: ExperimentSummary, cell: SummaryCell, costs: Sequence[str]) -> tuple[Cell, ...]:
    done = sum(run.status == "succeeded" for run in cell.runs)
    seeds = str(done) if done == len(cell.runs) else f"{done}/{len(cell.runs)}"
    results = [
        _result(result_of(cell.results, measure.key), measure, done) for measure in summary.measures
    ]
    relative = cell.cost.relative if cell.cost else {}
    if cell.role == "baseline" and cell.cost:
        relative = {key: 1.0 for key in costs if key != "scoring_flops"} | relative
    ratios = [Cell(f"{relative[key]:.2f}" if key in relative else NOTHING) for key in costs]
    return (Cell(cell.label), Cell(seeds), *results, *ratios)


def _result(result: SummaryResult | None, measure: SummaryMeasure, done: int) -> Cell:
    if result is None:
        return Cell(NOTHING)
    half = None
    if result.low is not None and result.high is not None:
        half = (result.high - result.low) / 2
    text = show(Value(result.mean, half), measure.unit)
    text += "".join(
        MARKS[one.at]
        for one in result.differences
        if one.p_holm is not None and one.p_holm < SIGNIFICANT
    )
    if result.n < done:
        text += f" (n = {result.n})"
    return Cell(text, result.best)


def _legend(summary: ExperimentSummary, costs: Sequence[str]) -> list[str]:
    results = [result for cell in summary.cells for result in cell.results]
    said = ["Scores are × 100, losses in nats."]
    if any(result.low is not None for result in results):
        said[0] += (
            f" Mean ± half of the {summary.level:.0%} interval, over pretraining seeds; those of "
            "fine-tuning are averaged first."
        )
    if any(result.best for result in results):
        said.append(
            "Bold: the best of its column among the methods with the same baseline, where one is "
            "above the floors."
        )
    if summary.tests:
        against = f"{MARKS['steps']} differs from the baseline at equal steps"
        if any(cell.matched for cell in summary.cells):
            against += f", {MARKS['compute']} from random masking at equal compute"
        said.append(
            f"{against}, with p < {SIGNIFICANT} by Holm's correction over "
            f"{counted(summary.tests, 'test')}: every difference of this report."
        )
    for measure in summary.measures:
        if measure.kind == "average":
            tasks = ", ".join(map(task_title, measure.tasks))
            said.append(f"{short_label(measure)}: the mean of {tasks}.")
    if any(measure.key == "loss" for measure in summary.measures):
        said.append(
            "Loss: on the common validation masks, fixed random ones; refit loss: after refitting "
            "the output bias alone."
        )
    if costs:
        text = "×: pretraining relative to the baseline's, with the teacher's passes in training"
        if "scoring_flops" in costs:
            text += "; scoring: the FLOPs of the teacher's scores, once for a corpus"
        said.append(f"{text}.")
    return said

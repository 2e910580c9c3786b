"""What the methods of an experiment are compared by: tasks, GLUE means, common losses."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from entromask.analysis.cautions import losses_differ, scores_differ
from entromask.analysis.cells import CellRuns
from entromask.analysis.runs import Run
from entromask.analysis.scores import (
    mean_floor,
    mean_key,
    mean_score,
    means,
    result_of,
    scored_tasks,
)
from entromask.analysis.table import Number, entry
from entromask.analysis.wording import task_title
from entromask.wire.comparison import UntrainedFloor
from entromask.wire.summary import SummaryMeasure

_LOSSES = (
    ("loss", "validation loss"),
    ("loss_bias_refit", "validation loss, bias refit"),
)
# Sums of the same numbers in another order differ in their last digits.
_EQUAL = 1e-9


def measures(cells: Sequence[CellRuns]) -> list[SummaryMeasure]:
    """Every task that a run has scored, the GLUE means, then the losses on the common masks."""
    columns = [cell.column for cell in cells]
    runs = [run for column in columns for run in column.runs]
    found = [_score(cells, task, task_title(task), (task,)) for task in scored_tasks(runs)]
    for tasks in means([cell.column for cell in cells if cell.pretrained] or columns):
        found.append(_score(cells, mean_key(tasks), _mean_label(tasks), tasks))
    for key, label in _LOSSES:
        if any(entry("validation", key)(run) is not None for run in runs):
            found.append(
                SummaryMeasure(
                    key=key,
                    label=label,
                    kind="loss",
                    unit="nats",
                    higher_is_better=False,
                    tasks=[],
                )
            )
    return found


def _mean_label(tasks: Sequence[str]) -> str:
    """Only a complete mean is called GLUE-8 or GLUE-9."""
    key = mean_key(tasks)
    if key in ("glue8", "glue9"):
        return f"GLUE-{len(tasks)}"
    return f"mean of {len(tasks)}: {', '.join(map(task_title, tasks))}"


def short_label(measure: SummaryMeasure) -> str:
    """A measure as the head of a column; a mean's tasks stand under the table."""
    if measure.kind == "average":
        return measure.label.partition(":")[0]
    return {"loss": "loss", "loss_bias_refit": "refit loss"}.get(measure.key, measure.label)


def _score(cells: Sequence[CellRuns], key: str, label: str, tasks: Sequence[str]) -> SummaryMeasure:
    runs = [run for cell in cells for _, run in cell.finished]
    sizes = {result_of(run, tasks[0]).get("rows") for run in runs} - {None}
    majority = [x for run in runs if (x := mean_floor(run, tasks, "majority_floor")) is not None]
    untrained = [x for cell in cells for x in _untrained([cell], tasks)]
    return SummaryMeasure(
        key=key,
        label=label,
        kind="task" if len(tasks) == 1 else "average",
        unit="score",
        higher_is_better=True,
        tasks=list(tasks),
        rows=next(iter(sizes)) if len(sizes) == 1 and len(tasks) == 1 else None,
        majority=max(majority) if majority else None,
        untrained=UntrainedFloor(low=min(untrained), high=max(untrained)) if untrained else None,
    )


def _untrained(cells: Sequence[CellRuns], tasks: Sequence[str]) -> list[float]:
    """Scores without pretraining: what runs measured beside themselves, and the control's own."""
    found = []
    for cell in cells:
        for _, run in cell.finished:
            beside = mean_floor(run, tasks, "untrained_floor")
            own = mean_score(run, tasks) if not cell.pretrained else None
            found += [x for x in (beside, own) if x is not None]
    return found


def floors(family: Sequence[CellRuns], measure: SummaryMeasure) -> list[float]:
    """What a mean has to be above to rank, among the cells of one baseline."""
    if measure.kind == "loss":
        return []
    untrained = _untrained(family, measure.tasks)
    known = [measure.majority] if measure.majority is not None else []
    return [*known, *([max(untrained)] if untrained else [])]


def reader(measure: SummaryMeasure) -> Number:
    """Reads a run's value of a measure; None where it has none, or no finite one."""
    if measure.kind == "loss":
        return entry("validation", measure.key)
    return partial(mean_score, tasks=measure.tasks)


def collapsed(run_scores: Sequence[float], measure: SummaryMeasure) -> int | None:
    """How many runs are at or under the majority floor; None where there is none."""
    if measure.majority is None:
        return None
    return sum(score <= measure.majority + _EQUAL for score in run_scores)


def comparable(one: CellRuns, other: CellRuns, measure: SummaryMeasure) -> bool:
    """Whether two cells were measured alike: the same data, protocol and fine-tuning seeds."""
    columns = [one.column, other.column]
    if measure.kind == "loss":
        return not losses_differ(columns)
    runs = [run for column in columns for run in column.runs]
    return not scores_differ(columns) and all(_same_rows(runs, task) for task in measure.tasks)


def _same_rows(runs: Sequence[Run], task: str) -> bool:
    return len({result_of(run, task).get("rows") for run in runs} - {None}) < 2

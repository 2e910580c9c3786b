"""Rows of task scores and of GLUE means, with their floors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import Any, Literal

from entromask.analysis.runs import Run
from entromask.analysis.table import Column, Row, number, over_runs
from entromask.glue.tasks import GLUE8, GLUE9, TASKS


def score_rows(columns: Sequence[Column], comparable: bool) -> list[Row]:
    """One row for each task that some run has scored, then the GLUE means."""
    runs = [run for column in columns for run in column.runs]
    rows = []
    for task in scored_tasks(runs):
        sizes = {result_of(run, task).get("rows") for run in runs} - {None}
        rows.append(_row(columns, task, task, (task,), comparable and len(sizes) < 2, sizes))
    for tasks in means(columns):
        rows.append(_row(columns, mean_key(tasks), mean_label(tasks), tasks, comparable))
    return rows


def scored_tasks(runs: Sequence[Run]) -> list[str]:
    """The tasks that some run has a score of: in the order of the table, then the user's own."""
    own = dict.fromkeys(task for run in runs for task in run.results.get("tasks") or {})
    names = [*TASKS, *(task for task in own if task not in TASKS)]
    return [task for task in names if any(mean_score(run, (task,)) is not None for run in runs)]


def means(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """The sets of tasks that are averaged: the complete ones, and what all columns share.

    Means of different sets never stand in one row.
    """
    if not columns:
        return []
    scored = [scored_glue(column) for column in columns]
    sets = [full for full in (GLUE8, GLUE9) if any(set(full) <= set(s) for s in scored)]
    shared = tuple(task for task in GLUE9 if all(task in tasks for tasks in scored))
    if len(shared) > 1 and not set(GLUE8) <= set(shared):
        sets.append(shared)
    return sets


def scored_glue(column: Column) -> tuple[str, ...]:
    """The GLUE tasks that every run of a column has scored."""
    return tuple(t for t in GLUE9 if all(mean_score(run, (t,)) is not None for run in column.runs))


def mean_key(tasks: Sequence[str]) -> str:
    names = {GLUE8: "glue8", GLUE9: "glue9"}
    return names.get(tuple(tasks), "glue:" + "+".join(tasks))


def mean_label(tasks: Sequence[str]) -> str:
    """The name of a GLUE mean; only a complete one is called GLUE-8 or GLUE-9."""
    names = {GLUE8: "GLUE-8 mean", GLUE9: "GLUE-9 mean"}
    return names.get(tuple(tasks), f"GLUE mean of {len(tasks)} tasks ({', '.join(tasks)})")


def mean_score(run: Run, tasks: Sequence[str]) -> float | None:
    """The mean of a run's task scores; None where one is missing."""
    return _mean(run, tasks, "score")


def seed_scores(run: Run, tasks: Sequence[str]) -> dict[str, float]:
    """The mean of the tasks' scores by fine-tuning seed, for the seeds that all tasks have."""
    tables = [
        metric.get("per_seed") or {}
        for task in tasks
        for metric in (result_of(run, task).get("metrics") or {}).values()
    ]
    if not tables:
        return {}
    # A mean of metrics, then of tasks: a task with two metrics weighs no more than another.
    by_task = [(result_of(run, task).get("metrics") or {}).values() for task in tasks]
    seeds = [seed for seed in tables[0] if all(seed in table for table in tables)]
    return {
        seed: fmean(fmean(m["per_seed"][seed] for m in metrics) for metrics in by_task if metrics)
        for seed in seeds
    }


def _row(
    columns: Sequence[Column],
    key: str,
    label: str,
    tasks: tuple[str, ...],
    comparable: bool,
    sizes: set[Any] | None = None,
) -> Row:
    spread: Callable[[Run], list[float]] = lambda run: list(seed_scores(run, tasks).values())  # noqa: E731
    runs = [run for column in columns for run in column.runs]
    majority = _known(runs, partial(_mean, tasks=tasks, key="majority_floor"))
    untrained = _known(runs, partial(_mean, tasks=tasks, key="untrained_floor"))
    return Row(
        "Scores",
        key,
        label,
        "score",
        tuple(over_runs(column, partial(mean_score, tasks=tasks), spread) for column in columns),
        higher_is_better=True,
        majority=max(majority) if majority else None,
        untrained=(min(untrained), max(untrained)) if untrained else None,
        size=next(iter(sizes)) if sizes and len(sizes) == 1 else None,
        comparable=comparable,
    )


def result_of(run: Run, task: str) -> Mapping[str, Any]:
    """What a run's results.json says of a task; nothing where it says nothing."""
    found: Mapping[str, Any] = (run.results.get("tasks") or {}).get(task) or {}
    return found


def mean_floor(
    run: Run, tasks: Sequence[str], key: Literal["majority_floor", "untrained_floor"]
) -> float | None:
    """The mean of the tasks' floors of one kind; None where one is missing."""
    return _mean(run, tasks, key)


def _mean(run: Run, tasks: Sequence[str], key: str) -> float | None:
    numbers = [number(result_of(run, task).get(key)) for task in tasks]
    known = [found for found in numbers if found is not None]
    return fmean(known) if len(known) == len(tasks) else None


def _known(runs: Sequence[Run], read: Callable[[Run], float | None]) -> list[float]:
    return [found for found in map(read, runs) if found is not None]

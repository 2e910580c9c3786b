"""A method's scores by pretraining seed, with what resampled test examples make of them."""

from __future__ import annotations

from entromask.analysis.cells import CellRuns
from entromask.analysis.measures import reader
from entromask.analysis.resampling import resample_run
from entromask.analysis.runs import Run
from entromask.analysis.statistics import Scores, SeedScores, average
from entromask.wire.summary import SummaryMeasure


def seed_scores(cell: CellRuns, measure: SummaryMeasure) -> SeedScores:
    """A measure of a cell, for the seeds that have a finite value of it.

    Only tasks have test examples, and only runs that kept their predictions in a folder.
    """
    if len(measure.tasks) > 1:
        return average([_of_task(cell, measure, task) for task in measure.tasks])
    return _of_task(cell, measure, measure.tasks[0] if measure.tasks else None)


def _of_task(cell: CellRuns, measure: SummaryMeasure, task: str | None) -> SeedScores:
    read = reader(measure if task is None else measure.model_copy(update={"tasks": [task]}))
    values = {seed: read(run) for seed, run in cell.finished}
    scores = {seed: value for seed, value in values.items() if value is not None}
    if task is None:
        return SeedScores(scores)
    resampled = {
        seed: found
        for seed, run in cell.finished
        if seed in scores and (found := _resampled(run, task)) is not None
    }
    return SeedScores(scores, resampled if len(resampled) == len(scores) else None)


def _resampled(run: Run, task: str) -> Scores | None:
    evaluation = run.spec.evaluation
    if run.folder is None or task not in evaluation.tasks:
        return None
    return resample_run(run.folder, evaluation.task(task), tuple(evaluation.seeds))

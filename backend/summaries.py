"""The report of an experiment, from its rows and the folders of its runs."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from sqlalchemy.orm import Session

from backend.comparing import finished_run
from backend.db.tables import Experiment, Run
from backend.problems import ProblemError
from backend.store import experiments as store
from backend.store.metrics import history
from entromask.analysis.cells import CellRuns, SeedRun
from entromask.analysis.runs import Run as Finished
from entromask.resources import ExperimentSummary

_CURVE, _POINTS = "validation_loss", 200
# Summaries of experiments that have not changed since: resampling takes a moment.
_KEPT = 16


class Summaries:
    """Makes summaries, and keeps the latest for those who ask again. Safe for threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[str, ExperimentSummary] = OrderedDict()

    def of(self, session: Session, experiment: Experiment, state: str) -> ExperimentSummary:
        """The summary of an experiment; `state` changes whenever it would."""
        with self._lock:
            if (kept := self._kept.get(state)) is not None:
                self._kept.move_to_end(state)
                return kept
        made = _summary(session, experiment)
        with self._lock:
            self._kept[state] = made
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def _summary(session: Session, experiment: Experiment) -> ExperimentSummary:
    from entromask.analysis.experiment import summarize

    standing = store.standings(session, [experiment.id])[experiment.id]
    rows = store.runs_of(session, experiment.id)
    seeds: dict[str, list[SeedRun]] = {cell["key"]: [] for cell in experiment.cells}
    for one in sorted(standing, key=lambda one: one.seed):
        run = _seed_run(session, rows[one.cell, one.seed], one.seed)
        seeds.setdefault(one.cell, []).append(run)
    cells = [
        CellRuns(
            **{name: cell[name] for name in ("key", "label", "role", "settings")},
            baseline=cell["baseline"],
            matched=cell["matched"],
            runs=tuple(seeds[cell["key"]]),
        )
        for cell in experiment.cells
    ]
    return summarize(
        id=experiment.id,
        name=experiment.name,
        status=store.status_now(experiment, standing),
        created_at=experiment.created_at,
        cells=cells,
    )


def _seed_run(session: Session, row: Run, seed: int) -> SeedRun:
    curve = history(session, row.id, [_CURVE], _POINTS).get(_CURVE)
    points = zip(curve["steps"], curve["values"], strict=True) if curve else ()
    return SeedRun(
        seed=seed,
        id=row.id,
        status=row.status,
        run=_finished(row),
        curve=tuple((step, value) for step, value in points if value is not None),
    )


def _finished(row: Run) -> Finished | None:
    if row.status != "succeeded" or not row.results:
        return None
    try:
        return finished_run(row)
    except ProblemError:
        # Of a version whose specs cannot be read: a run without numbers.
        return None

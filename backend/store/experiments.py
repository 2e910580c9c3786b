"""Experiments: made, found, changed; which runs stand in them, and how they stand."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from backend.db.tables import Experiment, ExperimentRun, Job, Json, Run
from backend.store.ids import new_id
from backend.store.plain import clean
from backend.store.states import OVER

Cursor = tuple[float, str]


@dataclass(frozen=True)
class Standing:
    """A run of an experiment in few columns; `fraction` is of its current stage."""

    cell: str
    seed: int
    run_id: str
    reused: bool
    status: str
    stage: str | None
    progress: Json | None
    version: int


def create_experiment(
    session: Session,
    *,
    name: str,
    spec: Json,
    cells: list[Json],
    plan_notes: Sequence[str],
    tags: Sequence[str],
    notes: str,
    priority: int,
) -> Experiment:
    """Adds an experiment; its runs come after it (`put`)."""
    experiment = Experiment(
        id=new_id("exp"),
        name=clean(name),
        spec=spec,
        cells=cells,
        plan_notes=list(plan_notes),
        tags=list(tags),
        notes=clean(notes),
        priority=priority,
        created_at=time.time(),
        version=1,
    )
    session.add(experiment)
    session.flush()
    return experiment


def put(
    session: Session, experiment: Experiment, runs: Iterable[tuple[str, int, str, bool]]
) -> None:
    """Adds runs to an experiment: (cell, seed, id of the run, whether it was there before)."""
    session.add_all(
        ExperimentRun(experiment_id=experiment.id, cell=cell, seed=seed, run_id=id_, reused=reused)
        for cell, seed, id_, reused in runs
    )
    session.flush()


def get_experiment(
    session: Session, experiment_id: str, *, lock: bool = False
) -> Experiment | None:
    """An experiment by its id. Whoever locks it and its runs locks it first."""
    if "\0" in experiment_id:  # Postgres refuses to look for it
        return None
    query = select(Experiment).where(Experiment.id == experiment_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.scalars(query).one_or_none()


def list_experiments(
    session: Session, limit: int, after: Cursor | None, q: str | None = None
) -> list[Experiment]:
    """Newest first, at most `limit`, behind the (created_at, id) of `after`."""
    query = select(Experiment)
    for word in clean(q or "").split():
        escaped = word.lower().replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
        text = func.lower(Experiment.name + " " + Experiment.notes + " " + Experiment.id)
        query = query.where(text.like(f"%{escaped}%", escape="\\"))
    if after is not None:
        query = query.where(tuple_(Experiment.created_at, Experiment.id) < after)
    query = query.order_by(Experiment.created_at.desc(), Experiment.id.desc()).limit(limit)
    return list(session.scalars(query))


def standings(session: Session, ids: Sequence[str]) -> dict[str, list[Standing]]:
    """How the runs of some experiments stand, without their specs and results."""
    query = (
        select(
            ExperimentRun.experiment_id,
            ExperimentRun.cell,
            ExperimentRun.seed,
            Run.id,
            ExperimentRun.reused,
            Run.status,
            Run.stage,
            Run.progress,
            Run.version,
        )
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(ExperimentRun.experiment_id.in_(ids))
        .order_by(Run.created_at, Run.id)
    )
    found: dict[str, list[Standing]] = {id_: [] for id_ in ids}
    for experiment_id, *row in session.execute(query).all():
        found[experiment_id].append(Standing(*row))  # type: ignore[arg-type]
    return found


def runs_of(session: Session, experiment_id: str) -> dict[tuple[str, int], Run]:
    """The runs of an experiment by cell and seed."""
    query = (
        select(ExperimentRun.cell, ExperimentRun.seed, Run)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(ExperimentRun.experiment_id == experiment_id)
    )
    return {(cell, seed): run for cell, seed, run in session.execute(query)}


def finished_seeds(session: Session, group_hash: str) -> dict[int, str]:
    """By seed, the newest run of a method that succeeded.

    What has one spec hash has one group hash and one seed; the name is no part of the method.
    """
    query = (
        select(Run.seed, Run.id)
        .where(Run.group_hash == group_hash, Run.status == "succeeded")
        .order_by(Run.created_at, Run.id)
    )
    return dict(session.execute(query).all())


def awaited(session: Session, ids: Sequence[str]) -> set[str]:
    """Those of some runs that others wait for."""
    query = select(Job.waits_for).where(Job.waits_for.in_(ids)).distinct()
    return {str(id_) for id_ in session.scalars(query)}


def total(experiment: Experiment) -> int:
    """How many runs an experiment has, those that were deleted meanwhile included."""
    seeds = len(experiment.spec["seeds"])
    return sum(1 if cell["role"] == "teacher" else seeds for cell in experiment.cells)


def status_now(experiment: Experiment, runs: Sequence[Standing]) -> str:
    """The status of an experiment, in the words of a run's, from those of its runs."""
    counts = Counter(run.status for run in runs)
    over = sum(counts[status] for status in OVER)
    if over == len(runs):
        if counts["failed"] or len(runs) < total(experiment):
            return "failed"
        return "cancelled" if counts["cancelled"] else "succeeded"
    if counts["cancelling"] and not counts["running"]:
        return "cancelling"
    return "queued" if counts["queued"] == len(runs) else "running"

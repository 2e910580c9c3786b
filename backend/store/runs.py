"""Runs: made, found, changed, deleted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from backend.db.tables import ExperimentRun, Job, Run, Tag
from backend.store.ids import job_id, new_id
from backend.store.locks import get_run as get_run
from backend.store.locks import hold
from backend.store.plain import clean, finite
from backend.store.settle import settle_waiting
from backend.store.states import DEFAULT_PRIORITY, KINDS
from entromask.errors import InputError
from entromask.glue.plan import plan
from entromask.spec import RunSpec

_LONGEST_TAG = 100


@dataclass(frozen=True)
class Filters:
    """Which runs a list shows; what is None is not asked about."""

    status: str | None = None
    tag: str | None = None
    experiment: str | None = None
    strategy: str | None = None
    group: str | None = None
    q: str | None = None


@dataclass(frozen=True)
class RunToMake:
    """What makes a run: a resolved spec and what its users say of it.

    `waits_for` is the id of a run that has to succeed first: its model is the teacher.
    """

    spec: RunSpec
    id: str | None = None
    tags: Sequence[str] = ()
    notes: str = ""
    priority: int = DEFAULT_PRIORITY
    waits_for: str | None = None
    experiment_id: str | None = None


def create_run(
    session: Session,
    spec: RunSpec,
    *,
    run_id: str | None = None,
    tags: list[str] | None = None,
    notes: str = "",
    priority: int = DEFAULT_PRIORITY,
    waits_for: str | None = None,
) -> Run:
    """Adds a run and all of its jobs; `settle` then queues the first of them.

    Args:
        spec: a resolved spec.
        waits_for: the id of a run that has to succeed first: its model is the teacher.

    Raises:
        InputError: a tag is too long, or has characters that no database takes.
    """
    wanted = RunToMake(spec, run_id, tags or (), notes, priority, waits_for)
    [run], _ = _create(session, [wanted])
    session.flush()
    return run


def create_queued_runs(session: Session, wanted: Sequence[RunToMake]) -> list[Job]:
    """Adds many runs with their jobs, in the order in which they are to be served.

    What `settle` would do of each is done at once: the first job of a run that waits for none is
    queued. Returns these, to be sent once the transaction is committed.

    Raises:
        InputError: as `create_run`.
    """
    _, jobs = _create(session, wanted)
    ready = [job for job in jobs if job.kind == KINDS[0] and job.waits_for is None]
    for job in ready:
        job.status = "queued"
    session.flush()
    return ready


def _create(session: Session, wanted: Sequence[RunToMake]) -> tuple[list[Run], list[Job]]:
    # In one order everywhere, so that two requests never wait for each other.
    for awaited in sorted({one.waits_for for one in wanted if one.waits_for is not None}):
        hold(session, awaited)
    now = time.time()
    runs, tags, jobs = [], [], []
    for number, one in enumerate(wanted):
        # A moment apart: the order in which equals are served.
        run = _run(one, now + number * 1e-3)
        runs.append(run)
        tags += [Tag(run_id=run.id, tag=tag) for tag in run.tags]
        jobs += _jobs(run, one)
    session.add_all(runs)
    session.flush()
    session.add_all([*tags, *jobs])
    return runs, jobs


def _run(wanted: RunToMake, created_at: float) -> Run:
    spec = wanted.spec
    return Run(
        id=wanted.id or new_id("run"),
        name=clean(spec.name),
        status="queued",
        spec=spec.data(),
        spec_hash=spec.spec_hash,
        group_hash=spec.group_hash,
        seed=spec.seed,
        strategy=spec.masking.preset or spec.masking.score,
        experiment_id=wanted.experiment_id,
        tags=_checked([*spec.tags, *wanted.tags]),
        notes=clean(wanted.notes),
        priority=wanted.priority,
        created_at=created_at,
        metrics={},
        warnings=[],
        attempt=0,
        events=0,
        version=1,
    )


def _jobs(run: Run, wanted: RunToMake) -> list[Job]:
    cells = [("cell", cell.name, cell.data()) for cell in plan(wanted.spec.evaluation)]
    pieces: list[tuple[str, str, dict[str, Any]]] = [
        ("pretrain", "pretrain", {}),
        *cells,
        ("report", "report", {}),
    ]
    return [
        Job(
            id=job_id(run.id, number),
            run_id=run.id,
            kind=kind,
            name=name,
            payload=payload,
            status="waiting",
            waits_for=wanted.waits_for if kind == KINDS[0] else None,
            priority=run.priority,
            attempt=0,
            losses=0,
            created_at=run.created_at + number * 1e-6,
        )
        for number, (kind, name, payload) in enumerate(pieces)
    ]


def _checked(tags: list[str]) -> list[str]:
    for tag in tags:
        if not tag or len(tag) > _LONGEST_TAG or clean(tag) != tag:
            raise InputError(
                f"the tag {tag[:120]!r} is not allowed; a tag has 1 to {_LONGEST_TAG} characters",
                "shorten it, and leave control characters out",
            )
    return list(dict.fromkeys(tags))


def list_runs(
    session: Session, filters: Filters, limit: int, after: tuple[float, str] | None
) -> list[Run]:
    """Newest first, at most `limit`, behind the (created_at, id) of `after`."""
    query = _filtered(select(Run), filters)
    if after is not None:
        query = query.where(tuple_(Run.created_at, Run.id) < after)
    query = query.order_by(Run.created_at.desc(), Run.id.desc()).limit(limit)
    return list(session.scalars(query))


def find_runs(session: Session, ids: Sequence[str]) -> dict[str, Run]:
    """The runs with these ids, those that there are."""
    return {run.id: run for run in session.scalars(select(Run).where(Run.id.in_(ids)))}


def runs_of_groups(session: Session, groups: Sequence[str]) -> dict[str, list[Run]]:
    """The runs of each group, whatever their state, by seed and age."""
    query = select(Run).where(Run.group_hash.in_(groups))
    found: dict[str, list[Run]] = {group: [] for group in groups}
    for run in session.scalars(query.order_by(Run.seed, Run.created_at, Run.id)):
        found[run.group_hash].append(run)
    return found


def _filtered(query: Select[tuple[Run]], filters: Filters) -> Select[tuple[Run]]:
    filters = Filters(**{name: asked and clean(asked) for name, asked in vars(filters).items()})
    if filters.status is not None:
        query = query.where(Run.status == filters.status)
    if filters.strategy is not None:
        query = query.where(Run.strategy == filters.strategy)
    if filters.group is not None:
        query = query.where(Run.group_hash == filters.group)
    if filters.experiment is not None:
        # Also those that were there before it, and stand in it.
        standing = select(ExperimentRun.run_id).where(
            ExperimentRun.experiment_id == filters.experiment
        )
        query = query.where(Run.id.in_(standing))
    if filters.tag is not None:
        query = query.join(Tag, and_(Tag.run_id == Run.id, Tag.tag == filters.tag))
    if filters.q:
        columns = (Run.name, Run.notes, Run.id, Run.strategy)
        for word in filters.q.split():
            forms: list[tuple[ColumnElement[Any], str]]
            forms = [(func.lower(column), word.lower()) for column in columns]
            if not word.isascii():
                # SQLite, and Postgres in some locales, lower only ASCII letters.
                forms += [(func.lower(column), word) for column in columns]
                forms += [(column.expression, word) for column in columns]
            query = query.where(
                or_(*(text.like(f"%{_escaped(form)}%", escape="\\") for text, form in forms))
            )
    return query


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")


def edit_run(
    session: Session,
    run: Run,
    *,
    name: str | None = None,
    tags: list[str] | None = None,
    notes: str | None = None,
    priority: int | None = None,
) -> None:
    """Changes what does not change the run's results; `run` is locked.

    Raises:
        InputError: a tag is too long, or has characters that no database takes.
    """
    if name is not None:
        run.name = clean(name)
    if notes is not None:
        run.notes = clean(notes)
    if tags is not None:
        run.tags = _checked(tags)
        session.execute(delete(Tag).where(Tag.run_id == run.id))
        session.add_all(Tag(run_id=run.id, tag=tag) for tag in run.tags)
    if priority is not None:
        run.priority = priority
        session.execute(update(Job).where(Job.run_id == run.id).values(priority=priority))
    run.version += 1


def keep_results(session: Session, run_id: str, results: dict[str, Any]) -> None:
    """Stores the content of a run's results.json."""
    run = get_run(session, run_id, lock=True)
    if run is not None:
        run.results = finite(results)
        run.version += 1


def delete_run(session: Session, run: Run) -> None:
    """Removes a locked run with its jobs, events and metrics; its folder is the caller's business.

    The runs that waited for it fail.
    """
    session.delete(run)
    settle_waiting(session, run.id)

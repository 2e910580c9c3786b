"""Runs: made, found, changed, deleted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from backend.db.tables import Job, Run, Tag
from backend.store.ids import new_id
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
    labels = _checked([*spec.tags, *(tags or [])])
    if waits_for is not None:
        hold(session, waits_for)
    now = time.time()
    run = Run(
        id=run_id or new_id("run"),
        name=clean(spec.name),
        status="queued",
        spec=spec.data(),
        spec_hash=spec.spec_hash,
        group_hash=spec.group_hash,
        seed=spec.seed,
        strategy=spec.masking.preset or spec.masking.score,
        tags=labels,
        notes=clean(notes),
        priority=priority,
        created_at=now,
        metrics={},
        warnings=[],
        attempt=0,
        events=0,
        version=1,
    )
    session.add(run)
    session.flush()
    session.add_all(Tag(run_id=run.id, tag=tag) for tag in labels)
    cells = [("cell", cell.name, cell.data()) for cell in plan(spec.evaluation)]
    pieces: list[tuple[str, str, dict[str, Any]]] = [
        ("pretrain", "pretrain", {}),
        *cells,
        ("report", "report", {}),
    ]
    for number, (kind, name, payload) in enumerate(pieces):
        session.add(
            Job(
                id=f"{run.id.replace('run_', 'job_', 1)}_{number}",
                run_id=run.id,
                kind=kind,
                name=name,
                payload=payload,
                status="waiting",
                waits_for=waits_for if kind == KINDS[0] else None,
                priority=priority,
                attempt=0,
                losses=0,
                # A moment apart: the order in which equals are served.
                created_at=now + number * 1e-6,
            )
        )
    session.flush()
    return run


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
        query = query.where(Run.experiment_id == filters.experiment)
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

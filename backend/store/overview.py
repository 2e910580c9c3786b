"""How much there is: runs and jobs by status, and how a run stands in few columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.db.tables import Job, Run


def runs_by_status(session: Session) -> dict[str, int]:
    """How many runs are in each state; states without runs are left out."""
    rows = session.execute(select(Run.status, func.count()).group_by(Run.status))
    return dict(rows.all())


def jobs_by_status(session: Session) -> dict[str, int]:
    """How many jobs are waiting, queued or running."""
    going = ("waiting", "queued", "running")
    query = select(Job.status, func.count()).where(Job.status.in_(going)).group_by(Job.status)
    return dict(session.execute(query).all())


def oldest_queued(session: Session) -> float | None:
    """When the job was made that has waited longest for a worker."""
    return session.scalar(select(func.min(Job.created_at)).where(Job.status == "queued"))


@dataclass(frozen=True)
class Standing:
    """What those who watch a run want to know again and again."""

    status: str
    stage: str | None
    progress: dict[str, Any] | None
    metrics: dict[str, Any]
    events: int
    version: int


def standing(session: Session, run_id: str) -> Standing | None:
    """How a run stands, without its spec and results; None where there is no such run."""
    query = select(Run.status, Run.stage, Run.progress, Run.metrics, Run.events, Run.version)
    row = session.execute(query.where(Run.id == run_id)).one_or_none()
    return Standing(*row) if row else None

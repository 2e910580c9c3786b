"""Workers, as they last said of themselves."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.db.engine import clock
from backend.db.tables import Job, Worker
from backend.store.plain import finite


def report_worker(
    session: Session,
    worker_id: str,
    *,
    host: str,
    pid: int,
    queue: str,
    state: dict[str, Any],
    stopping: bool = False,
) -> None:
    """Writes what a worker says of itself, and that it was just seen."""
    now = clock(session)
    worker = session.get(Worker, worker_id)
    if worker is None:
        worker = Worker(id=worker_id, host=host, pid=pid, queue=queue, started_at=now)
        session.add(worker)
    worker.seen_at, worker.state, worker.stopping = now, finite(state), stopping


def forget_worker(session: Session, worker_id: str) -> None:
    """Removes a worker that has ended."""
    session.execute(delete(Worker).where(Worker.id == worker_id))


def list_workers(session: Session, seen_within: float) -> list[tuple[Worker, Job | None]]:
    """The workers that were seen in the last seconds, each with the job that it has."""
    query = (
        select(Worker, Job)
        .outerjoin(Job, (Job.worker == Worker.id) & (Job.status == "running"))
        .where(Worker.seen_at >= clock(session) - seen_within)
        .order_by(Worker.started_at, Worker.id)
    )
    return [(worker, job) for worker, job in session.execute(query)]


def forget_lost_workers(session: Session, unseen_for: float) -> None:
    """Removes workers that have not been seen for some seconds."""
    session.execute(delete(Worker).where(Worker.seen_at < clock(session) - unseen_for))

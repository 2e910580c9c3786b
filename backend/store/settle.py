"""What a run's jobs mean for the run: which are queued next, and how the run stands."""

from __future__ import annotations

import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.tables import Job, Run
from backend.store.locks import FRESH, get_run
from backend.store.states import KINDS, OVER

_OUTCOME = ("reason", "message", "hint")


def settle(session: Session, run: Run) -> list[Job]:
    """Brings a locked run in line with its jobs and returns those that became queued.

    Called after every change of a job; calling it twice changes nothing more. The jobs that it
    returns are to be sent to the broker once the transaction is committed.
    """
    query = select(Job).where(Job.run_id == run.id).order_by(Job.created_at)
    jobs = list(session.scalars(query, execution_options=FRESH))
    if run.stop is None:
        _fail_what_waits_in_vain(session, run, jobs)
    states = {job.status for job in jobs}
    queued: list[Job] = []
    if run.stop or states & {"failed", "cancelled"}:
        _stop_the_rest(run, jobs)
    else:
        queued += _next_jobs(session, jobs)
    before = run.status
    run.status = _status(run, jobs)
    if run.status == "queued":
        run.worker = None
    if run.status in OVER:
        if run.status != before:
            _end(run, jobs)
            queued += settle_waiting(session, run.id)
    elif any(job.kind == "cell" and job.started_at for job in jobs) and run.stage != "reporting":
        _count_cells(run, jobs)
    run.version += 1
    session.flush()
    return queued


def _stop_the_rest(run: Run, jobs: list[Job]) -> None:
    now = time.time()
    for job in jobs:
        if job.status in ("waiting", "queued"):
            job.status, job.finished_at = "cancelled", now
    if run.stop is None and any(job.status == "running" for job in jobs):
        run.stop = "cancel"


def _next_jobs(session: Session, jobs: list[Job]) -> list[Job]:
    """Queues the waiting jobs of the first kind that is not done."""
    for kind in KINDS:
        of_kind = [job for job in jobs if job.kind == kind]
        if all(job.status == "succeeded" for job in of_kind):
            continue
        ready = [job for job in of_kind if job.status == "waiting" and _may_start(session, job)]
        for job in ready:
            job.status = "queued"
        return ready
    return []


def _may_start(session: Session, job: Job) -> bool:
    return job.waits_for is None or _status_of(session, job.waits_for) == "succeeded"


def _status_of(session: Session, run_id: str) -> str | None:
    """As it is now, whatever the session has seen of that run before."""
    return session.scalar(select(Run.status).where(Run.id == run_id))


def _fail_what_waits_in_vain(session: Session, run: Run, jobs: list[Job]) -> None:
    """A job whose other run is over without success, or gone, will never be queued."""
    for job in jobs:
        if job.status != "waiting" or job.waits_for is None:
            continue
        status = _status_of(session, job.waits_for)
        if status == "succeeded" or (status is not None and status not in OVER):
            continue
        how = "was deleted" if status is None else f"ended {status}"
        job.status, job.finished_at = "failed", time.time()
        job.reason = "user_error"
        job.message = f"the run {job.waits_for} that it waited for {how}"
        job.hint = (
            "submit it anew with another teacher"
            if status is None
            else f"finish that run first, then: entromask runs retry {run.id}"
        )


def _status(run: Run, jobs: list[Job]) -> str:
    states = {job.status for job in jobs}
    if "running" in states:
        return "cancelling" if run.stop and "failed" not in states else "running"
    if "failed" in states:
        return "failed"
    if "cancelled" in states:
        return "cancelled"
    if states == {"succeeded"}:
        return "succeeded"
    # Between two jobs a run goes on running; a run that never started is queued.
    started = any(job.status == "succeeded" for job in jobs)
    lost = any(job.status == "queued" and job.attempt for job in jobs)
    return "running" if started and not lost else "queued"


def _end(run: Run, jobs: list[Job]) -> None:
    run.finished_at = max(job.finished_at or 0.0 for job in jobs)
    run.stop = None
    run.worker = None
    failed = next((job for job in jobs if job.status == "failed"), None)
    for name in _OUTCOME:
        setattr(run, name, getattr(failed, name) if failed else None)


def _count_cells(run: Run, jobs: list[Job]) -> None:
    cells = [job for job in jobs if job.kind == "cell"]
    done = sum(job.status == "succeeded" for job in cells)
    run.stage = "evaluating"
    run.progress = {"step": done, "total": len(cells), "fraction": done / max(1, len(cells))}


def settle_waiting(session: Session, run_id: str) -> list[Job]:
    """Settles the runs that wait for a run that is over or deleted; returns what became queued.

    They go on when it succeeded, and fail otherwise.
    """
    session.flush()
    waiting = select(Job.run_id).where(Job.waits_for == run_id, Job.status == "waiting")
    queued: list[Job] = []
    # By id: whoever locks several of them does it in one order.
    for other_id in session.scalars(waiting.order_by(Job.run_id)).all():
        other = get_run(session, other_id, lock=True)
        if other is not None and other.status not in OVER:
            queued += settle(session, other)
    return queued

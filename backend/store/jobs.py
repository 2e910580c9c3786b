"""Jobs: claimed by one worker, held by a lease, ended in one of a few ways."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from backend.db.engine import clock
from backend.db.tables import Job, Run
from backend.store.locks import FRESH, get_run, hold
from backend.store.plain import clean
from backend.store.settle import settle
from backend.store.states import OVER


@dataclass(frozen=True)
class Claim:
    """A job in the hands of one worker. `attempt` fences: a later claim has a higher one."""

    job_id: str
    run_id: str
    kind: str
    name: str
    payload: dict[str, object]
    spec: dict[str, object]
    worker: str
    attempt: int


@dataclass(frozen=True)
class Failure:
    """Why a job did not succeed."""

    reason: str
    message: str
    hint: str | None = None


def claim(session: Session, job_id: str, worker: str, lease: float) -> Claim | None:
    """Takes a queued job for `lease` seconds; None if another has it or it must not start."""
    run_id = session.scalar(select(Job.run_id).where(Job.id == job_id))
    run = get_run(session, run_id, lock=True) if run_id else None
    if run is None or run.stop is not None:
        return None
    now = clock(session)
    taken = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == "queued")
        .values(
            status="running",
            worker=worker,
            attempt=Job.attempt + 1,
            lease_until=now + lease,
            started_at=now,
        )
        .returning(Job.kind, Job.name, Job.payload, Job.attempt),
        # `settle` reads the jobs anew.
        execution_options={"synchronize_session": False},
    ).one_or_none()
    if taken is None:
        return None
    run.started_at = run.started_at or now
    run.worker = worker
    run.attempt = max(run.attempt, taken.attempt)
    settle(session, run)
    return Claim(
        job_id=job_id,
        run_id=run.id,
        kind=taken.kind,
        name=taken.name,
        payload=taken.payload,
        spec=run.spec,
        worker=worker,
        attempt=taken.attempt,
    )


def renew(session: Session, claim: Claim, lease: float) -> tuple[bool, str | None]:
    """Prolongs a lease: (whether the job is still this worker's, what was asked of its run).

    In a transaction of its own: alone of all changes it does not wait for the run's lock.
    """
    held = session.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.attempt == claim.attempt, Job.status == "running")
        .values(lease_until=clock(session) + lease)
        .returning(Job.id),
        execution_options={"synchronize_session": False},
    ).one_or_none()
    return held is not None, asked(session, claim.run_id)


def asked(session: Session, run_id: str) -> str | None:
    """What was asked of a run: None, "cancel" or "kill"; a run that is gone is killed."""
    row = session.execute(select(Run.stop).where(Run.id == run_id)).one_or_none()
    return "kill" if row is None else row.stop


def succeed(session: Session, claim: Claim) -> Sequence[str]:
    """Ends a job well; returns the ids of the jobs to send."""
    return _end(session, claim, "succeeded", None)


def fail(session: Session, claim: Claim, failure: Failure) -> Sequence[str]:
    """Ends a job, and with it its run, because another attempt would end alike."""
    return _end(session, claim, "failed", failure)


def cancel(session: Session, claim: Claim) -> Sequence[str]:
    """Ends a job that was asked to stop."""
    return _end(session, claim, "cancelled", None)


def release(session: Session, claim: Claim) -> Sequence[str]:
    """Gives a job back, for another attempt that is not counted: this worker is going away."""
    return _end(session, claim, "queued", None)


def lose(session: Session, claim: Claim, failure: Failure, max_attempts: int) -> Sequence[str]:
    """Gives a job back after a crash; the last of `max_attempts` ends its run."""
    found = _held(session, claim)
    if found is None:
        return []
    run, job = found
    return _lost(session, run, job, failure, max_attempts)


def reap(session: Session, job_id: str, max_attempts: int) -> Sequence[str]:
    """Requeues a job whose lease has expired; returns the ids of the jobs to send."""
    run_id = session.scalar(select(Job.run_id).where(Job.id == job_id))
    run = get_run(session, run_id, lock=True) if run_id else None
    job = session.get(Job, job_id, with_for_update=True)
    if run is None or job is None or job.status != "running":
        return []
    if (job.lease_until or 0.0) >= clock(session):
        return []
    failure = Failure(
        "worker_lost",
        f"the worker {job.worker} was lost while it had the job {job.name}",
        "see the worker's log; the run continues from its last checkpoint with: runs retry",
    )
    return _lost(session, run, job, failure, max_attempts)


def expired(session: Session) -> list[str]:
    """The ids of running jobs whose lease is over."""
    query = select(Job.id).where(Job.status == "running", Job.lease_until < clock(session))
    return list(session.scalars(query))


def queued(session: Session) -> list[Job]:
    """All queued jobs, in the order in which they are served."""
    query = select(Job).where(Job.status == "queued").order_by(Job.priority, Job.created_at)
    return list(session.scalars(query))


def messages(session: Session, job_ids: Iterable[str]) -> list[tuple[str, int]]:
    """What `backend.queue.send` takes, of the jobs with these ids."""
    query = select(Job.id, Job.priority).where(Job.id.in_(list(job_ids))).order_by(Job.created_at)
    return [(row.id, row.priority) for row in session.execute(query)]


def stop_run(session: Session, run: Run, how: str) -> None:
    """Asks a locked run that is not over to stop: `how` is "cancel" or "kill".

    What is not running ends at once; so does, for a kill, what runs under an expired lease.
    """
    run.stop = "kill" if run.stop == "kill" else how
    if how == "kill":
        now = clock(session)
        held = select(Job).where(Job.run_id == run.id, Job.status == "running")
        for job in session.scalars(held, execution_options=FRESH):
            if (job.lease_until or 0.0) < now:
                job.status, job.finished_at = "cancelled", now
        session.flush()
    settle(session, run)


def restart(session: Session, run: Run) -> Sequence[str]:
    """Queues again what a locked run that was cancelled or failed has left; keeps what is done."""
    jobs = select(Job).where(Job.run_id == run.id)
    for job in session.scalars(jobs, execution_options=FRESH):
        if job.status in ("failed", "cancelled"):
            if job.waits_for is not None:
                hold(session, job.waits_for)
            job.status, job.losses = "waiting", 0
            job.worker = job.lease_until = job.finished_at = None
            job.reason = job.message = job.hint = None
    session.flush()
    run.stop = run.reason = run.message = run.hint = run.finished_at = None
    run.status = "queued"
    return [job.id for job in settle(session, run)]


def _held(session: Session, claim: Claim) -> tuple[Run, Job] | None:
    """The run, locked, and the job, if this claim still holds it."""
    run = get_run(session, claim.run_id, lock=True)
    job = session.get(Job, claim.job_id, populate_existing=True)
    if run is None or job is None or job.status != "running" or job.attempt != claim.attempt:
        return None
    return run, job


def _end(session: Session, claim: Claim, status: str, failure: Failure | None) -> Sequence[str]:
    found = _held(session, claim)
    if found is None:
        return []
    run, job = found
    _set(job, status, failure)
    return _settled(session, run, job)


def _lost(
    session: Session, run: Run, job: Job, failure: Failure, max_attempts: int
) -> Sequence[str]:
    if run.stop is not None:
        _set(job, "cancelled", None)
    else:
        job.losses += 1
        last = job.losses >= max_attempts
        _set(job, "failed" if last else "queued", failure if last else None)
    return _settled(session, run, job)


def _set(job: Job, status: str, failure: Failure | None) -> None:
    job.status = status
    job.lease_until = None
    if status in OVER:
        job.finished_at = time.time()
    else:
        job.worker = None
    job.reason = failure.reason if failure else None
    job.message = clean(failure.message) if failure else None
    job.hint = clean(failure.hint) if failure and failure.hint else None


def _settled(session: Session, run: Run, job: Job) -> Sequence[str]:
    session.flush()
    ids = [queued.id for queued in settle(session, run)]
    return [job.id, *ids] if job.status == "queued" else ids

"""Runs of a small spec, and a worker that does what it is told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select

from backend.db.engine import Database
from backend.db.tables import Job, Run
from backend.store import jobs
from backend.store.jobs import Claim
from backend.store.runs import create_run, get_run
from backend.store.settle import settle
from entromask.spec import RunSpec

# Of the small spec, in the order in which they are served.
CELLS = ("demo-order-seed0", "demo-order-seed1", "demo-order-floor")
LEASE = 30.0


def small_spec(**parts: Any) -> RunSpec:
    """One task, two fine-tuning seeds and a floor: five jobs."""
    evaluation = {"tasks": ["demo-order"], "seeds": [0, 1]}
    return RunSpec.parse({"evaluation": evaluation, **parts}).resolved()


SPEC = small_spec()


def submit(database: Database, spec: RunSpec = SPEC, **options: Any) -> tuple[str, list[str]]:
    """A new run: its id, and the ids of its queued jobs."""
    with database.write() as session:
        run = create_run(session, spec, **options)
        return run.id, [job.id for job in settle(session, run)]


def take(database: Database, job_id: str, worker: str = "w1", lease: float = LEASE) -> Claim:
    """The claim of a job that nobody has."""
    with database.write() as session:
        claim = jobs.claim(session, job_id, worker, lease)
    assert claim is not None
    return claim


def work(database: Database, job_id: str) -> list[str]:
    """Claims a job and ends it well; the ids of the jobs that became queued."""
    claim = take(database, job_id)
    with database.write() as session:
        return list(jobs.succeed(session, claim))


def finish(database: Database, job_ids: Iterable[str]) -> None:
    """Does these jobs and all that follow."""
    todo = list(job_ids)
    while todo:
        todo += work(database, todo.pop(0))


def stop(database: Database, run_id: str, how: str) -> None:
    with database.write() as session:
        run = get_run(session, run_id, lock=True)
        assert run is not None
        jobs.stop_run(session, run, how)


def retry(database: Database, run_id: str) -> list[str]:
    with database.write() as session:
        run = get_run(session, run_id, lock=True)
        assert run is not None
        return list(jobs.restart(session, run))


def run_of(database: Database, run_id: str) -> Run:
    with database.read() as session:
        run = get_run(session, run_id)
    assert run is not None
    return run


def jobs_of(database: Database, run_id: str) -> dict[str, Job]:
    """The jobs of a run by their names."""
    with database.read() as session:
        found = session.scalars(select(Job).where(Job.run_id == run_id).order_by(Job.created_at))
        return {job.name: job for job in found}


def states(database: Database, run_id: str) -> dict[str, str]:
    return {name: job.status for name, job in jobs_of(database, run_id).items()}

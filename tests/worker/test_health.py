"""The health checks of the containers: a silent worker and a silent reaper are noticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.db.tables import Base, Job, Run
from backend.store.workers import report_worker
from worker.health import reaper_fault, worker_fault


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'entromask.db'}")
    Base.metadata.create_all(database.engine)
    yield database
    database.close()


def test_a_worker_is_healthy_while_its_own_host_reports(database: Database) -> None:
    with database.write() as session:
        report_worker(session, "wrk_1", host="box", pid=1, queue="train", state={})
    with database.read() as session:
        assert worker_fault(session, "box", 60) is None
        assert "'other'" in (worker_fault(session, "other", 60) or "")
        assert "'box'" in (worker_fault(session, "box", -1) or "")


@pytest.mark.parametrize(("ago", "healthy"), [(-30, True), (30, True), (90, False)])
def test_the_reaper_is_unhealthy_once_a_lease_is_long_over(
    database: Database, ago: float, healthy: bool
) -> None:
    now = time.time()
    with database.write() as session:
        session.add(_run("run_1", now))
        session.flush()
        session.add(_job("job_held", "running", now, lease_until=now - ago))
        session.add(_job("job_done", "succeeded", now, lease_until=now - 1000))
    with database.read() as session:
        fault = reaper_fault(session, 60)
    assert (fault is None) == healthy
    assert healthy or "job_held" in str(fault)


def _run(run_id: str, now: float) -> Run:
    empty = {"spec": {}, "metrics": {}, "tags": [], "warnings": []}
    hashes = {"spec_hash": "0", "group_hash": "0"}
    return Run(
        id=run_id, name="r", status="running", seed=0, priority=5, created_at=now, **empty, **hashes
    )


def _job(job_id: str, status: str, now: float, lease_until: float) -> Job:
    return Job(
        id=job_id,
        run_id="run_1",
        kind="pretrain",
        name="pretrain",
        payload={},
        status=status,
        priority=5,
        created_at=now,
        lease_until=lease_until,
    )

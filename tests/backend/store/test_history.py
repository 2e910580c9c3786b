"""What earlier runs and workers tell of the time of runs to come."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from backend.db.engine import Database
from backend.db.tables import Job, Run
from backend.store.history import finished, speed
from backend.store.workers import report_worker
from entromask.durations import Speed
from tests.backend.store.helpers import CELLS, finish, submit


def test_a_finished_run_tells_the_seconds_of_its_jobs_that_were_done_in_one_go(
    database: Database,
) -> None:
    run_id, jobs = submit(database)
    finish(database, jobs)
    submit(database)  # has not finished
    with database.write() as session:
        session.execute(update(Run).where(Run.id == run_id).values(results={"cost": {"tokens": 7}}))
        session.execute(update(Job).values(started_at=100.0, finished_at=103.5))
        session.execute(update(Job).where(Job.name == CELLS[0]).values(finished_at=110.0))
        session.execute(update(Job).where(Job.name == CELLS[1]).values(attempt=2))
    with database.read() as session:
        [run] = finished(session)
    assert run.cost == {"tokens": 7}
    assert run.jobs == {
        ("pretrain", "pretrain"): 3.5,
        ("cell", CELLS[0]): 10.0,
        ("cell", CELLS[2]): 3.5,
        ("report", "report"): 3.5,
    }


def report(database: Database, name: str, queue: str, state: dict[str, Any]) -> None:
    with database.write() as session:
        report_worker(session, name, host="h", pid=1, queue=queue, state=state)


def test_the_speed_is_that_of_the_training_worker_that_has_measured_it(database: Database) -> None:
    measured = Speed("a GPU", 1e-4, 1e13)
    with database.read() as session:
        assert speed(session) is None
    report(database, "w1", "train", {"status": "idle"})
    report(database, "w2", "preview", {"speed": Speed("other", 1e-3, 1e9).data()})
    report(database, "w3", "train", {"speed": {"device": "damaged"}})
    with database.read() as session:
        assert speed(session) is None
    report(database, "w4", "train", {"speed": measured.data()})
    with database.read() as session:
        assert speed(session) == measured

"""A run whose teacher is another run: it waits for that one, and never for ever."""

from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.tables import Run
from backend.store import jobs
from backend.store.jobs import Failure
from backend.store.runs import delete_run, get_run
from tests.backend.store.helpers import finish, retry, run_of, stop, submit, take, work
from tests.backend.store.racing import race


def test_a_run_is_queued_when_its_teacher_has_succeeded(database: Database) -> None:
    teacher, (first,) = submit(database)
    student, queued = submit(database, waits_for=teacher)
    assert queued == []
    *_, (report,) = [work(database, cell) for cell in work(database, first)]
    (pretrain,) = work(database, report)
    assert pretrain.startswith(student.replace("run_", "job_"))
    assert run_of(database, teacher).status == "succeeded"
    finish(database, [pretrain])
    assert run_of(database, student).status == "succeeded"


def test_a_run_starts_at_once_when_its_teacher_is_there(database: Database) -> None:
    teacher, queued = submit(database)
    finish(database, queued)
    assert len(submit(database, waits_for=teacher)[1]) == 1


def test_a_run_fails_with_its_teacher_and_all_that_wait_for_it(database: Database) -> None:
    teacher, (first,) = submit(database)
    student, _ = submit(database, waits_for=teacher)
    grandchild, _ = submit(database, waits_for=student)
    claim = take(database, first)
    with database.write() as session:
        jobs.fail(session, claim, Failure("nan_loss", "the loss is nan"))
    run = run_of(database, student)
    assert (run.status, run.reason) == ("failed", "user_error")
    assert run.message == f"the run {teacher} that it waited for ended failed"
    assert run.hint == f"finish that run first, then: entromask runs retry {student}"
    assert run_of(database, grandchild).status == "failed"


def test_a_run_does_not_wait_for_one_that_is_over_or_gone(database: Database) -> None:
    teacher, _ = submit(database)
    stop(database, teacher, "cancel")
    late, _ = submit(database, waits_for=teacher)
    assert run_of(database, late).message == f"the run {teacher} that it waited for ended cancelled"
    lost, _ = submit(database, waits_for="run_none")
    assert run_of(database, lost).message == "the run run_none that it waited for was deleted"


def test_deleting_a_run_ends_those_that_wait_for_it(database: Database) -> None:
    teacher, _ = submit(database)
    student, _ = submit(database, waits_for=teacher)
    with database.write() as session:
        run = get_run(session, teacher, lock=True)
        assert run is not None
        delete_run(session, run)
    assert run_of(database, student).status == "failed"


def test_a_retry_waits_again_for_a_teacher_that_is_retried(database: Database) -> None:
    teacher, _ = submit(database)
    student, _ = submit(database, waits_for=teacher)
    stop(database, teacher, "cancel")
    queued = retry(database, teacher)
    assert retry(database, student) == []
    assert run_of(database, student).status == "queued"
    finish(database, queued)  # goes on with the student's jobs
    assert run_of(database, teacher).status == "succeeded"
    assert run_of(database, student).status == "succeeded"


def _finish_or_submit(database: Database, teachers: list[str], submits: bool) -> None:
    for teacher in teachers:
        if submits:
            submit(database, waits_for=teacher)
        else:
            stop(database, teacher, "cancel")


@pytest.mark.slow
def test_no_run_is_overlooked_that_is_made_while_its_teacher_ends(database: Database) -> None:
    teachers = [submit(database)[0] for _ in range(30)]
    race(database, _finish_or_submit, [(teachers, True), (teachers, False)])
    with database.read() as session:
        assert jobs.queued(session) == []
    for teacher in teachers:
        assert run_of(database, teacher).status == "cancelled"
    assert _statuses(database) == {"cancelled": 30, "failed": 30}


def _statuses(database: Database) -> dict[str, int]:
    with database.read() as session:
        return dict(Counter(session.scalars(select(Run.status))))

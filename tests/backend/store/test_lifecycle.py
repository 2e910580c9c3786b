"""A run on its way through its jobs: queued, claimed, ended, failed, requeued, retried."""

from __future__ import annotations

import pytest

from backend.db.engine import Database
from backend.store import jobs
from backend.store.jobs import Failure
from tests.backend.store.helpers import (
    CELLS,
    LEASE,
    finish,
    jobs_of,
    retry,
    run_of,
    states,
    stop,
    submit,
    take,
    work,
)

CRASH = Failure("internal", "the process crashed", "see log.txt")


def test_a_new_run_queues_its_pretraining_alone(database: Database) -> None:
    run_id, queued = submit(database)
    assert queued == [jobs_of(database, run_id)["pretrain"].id]
    assert run_of(database, run_id).status == "queued"
    assert list(states(database, run_id)) == ["pretrain", *CELLS, "report"]


def test_a_run_goes_through_all_kinds_of_jobs_to_succeeded(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    cells = work(database, pretrain)
    assert [job.id for job in jobs_of(database, run_id).values()][1:4] == cells
    assert run_of(database, run_id).status == "running"
    assert work(database, cells[0]) == []
    assert run_of(database, run_id).progress == {"step": 1, "total": 3, "fraction": 1 / 3}
    assert work(database, cells[1]) == []
    report = work(database, cells[2])
    assert report == [jobs_of(database, run_id)["report"].id]
    assert work(database, report[0]) == []
    run = run_of(database, run_id)
    assert (run.status, run.worker, run.reason) == ("succeeded", None, None)
    assert run.finished_at is not None


def test_a_failing_cell_ends_the_run_with_its_reason(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    first, second, _ = work(database, pretrain)
    failing, running = take(database, first), take(database, second)
    with database.write() as session:
        failure = Failure("cuda_oom", "no GPU memory\0 left", "smaller batches")
        assert jobs.fail(session, failing, failure) == []
    assert run_of(database, run_id).status == "running"
    with database.write() as session:
        assert jobs.renew(session, running, LEASE) == (True, "cancel")
        jobs.cancel(session, running)
    run = run_of(database, run_id)
    assert (run.status, run.reason, run.hint) == ("failed", "cuda_oom", "smaller batches")
    assert run.message == "no GPU memory left"
    assert list(states(database, run_id).values()) == [
        *("succeeded", "failed", "cancelled", "cancelled", "cancelled")
    ]


def test_a_second_claim_of_a_job_gets_nothing(database: Database) -> None:
    _, (pretrain,) = submit(database)
    take(database, pretrain)
    with database.write() as session:
        assert jobs.claim(session, pretrain, "w2", LEASE) is None
        assert jobs.claim(session, "job_none", "w2", LEASE) is None


def test_a_released_job_is_queued_and_not_counted(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    for attempt in range(1, 6):
        claim = take(database, pretrain)
        assert claim.attempt == attempt
        with database.write() as session:
            assert jobs.release(session, claim) == [pretrain]
    assert jobs_of(database, run_id)["pretrain"].losses == 0
    assert (run_of(database, run_id).status, run_of(database, run_id).worker) == ("queued", None)


def test_the_last_of_the_allowed_crashes_ends_the_run(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    for left in (2, 1, 0):
        claim = take(database, pretrain)
        with database.write() as session:
            assert jobs.lose(session, claim, CRASH, 3) == ([pretrain] if left else [])
    run = run_of(database, run_id)
    assert (run.status, run.reason, run.message) == ("failed", "internal", "the process crashed")


def test_an_expired_lease_requeues_the_job_and_keeps_what_is_done(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    cells = work(database, pretrain)
    work(database, cells[0])
    take(database, cells[1], lease=-1.0)
    held = take(database, cells[2])
    with database.write() as session:
        assert jobs.expired(session) == [cells[1]]
        assert jobs.reap(session, cells[2], 3) == []
        assert jobs.reap(session, cells[1], 3) == [cells[1]]
        assert jobs.reap(session, cells[1], 3) == []
        assert jobs.messages(session, [cells[1]]) == [(cells[1], 5)]
    assert list(states(database, run_id).values()) == [
        *("succeeded", "succeeded", "queued", "running", "waiting")
    ]
    with database.write() as session:
        assert jobs.renew(session, held, LEASE) == (True, None)


def test_a_worker_lost_too_often_ends_the_run_as_worker_lost(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    for _ in range(2):
        take(database, pretrain, lease=-1.0)
        with database.write() as session:
            jobs.reap(session, pretrain, 2)
    assert (run_of(database, run_id).status, run_of(database, run_id).reason) == (
        *("failed", "worker_lost"),
    )


@pytest.mark.parametrize("ending", [jobs.succeed, jobs.cancel, jobs.release])
def test_a_stale_claim_changes_nothing(database: Database, ending: object) -> None:
    assert callable(ending)
    run_id, (pretrain,) = submit(database)
    stale = take(database, pretrain, lease=-1.0)
    with database.write() as session:
        jobs.reap(session, pretrain, 3)
    current = take(database, pretrain, worker="w2")
    with database.write() as session:
        assert jobs.renew(session, stale, LEASE) == (False, None)
        assert ending(session, stale) == []
        assert jobs.lose(session, stale, CRASH, 1) == []
        assert jobs.fail(session, stale, CRASH) == []
    job = jobs_of(database, run_id)["pretrain"]
    assert (job.status, job.worker, job.attempt) == ("running", "w2", current.attempt)


def test_a_cancelled_queued_run_is_over_and_never_starts(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    stop(database, run_id, "cancel")
    assert run_of(database, run_id).status == "cancelled"
    with database.write() as session:
        assert jobs.claim(session, pretrain, "w1", LEASE) is None


def test_a_cancelled_running_run_ends_when_its_worker_says_so(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    claim = take(database, pretrain)
    stop(database, run_id, "cancel")
    assert run_of(database, run_id).status == "cancelling"
    with database.write() as session:
        assert jobs.renew(session, claim, LEASE) == (True, "cancel")
        jobs.cancel(session, claim)
    assert run_of(database, run_id).status == "cancelled"


def test_a_kill_is_not_softened_by_a_cancel(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    take(database, pretrain)
    stop(database, run_id, "kill")
    stop(database, run_id, "cancel")
    with database.read() as session:
        assert jobs.asked(session, run_id) == "kill"
        assert jobs.asked(session, "run_gone") == "kill"


def test_a_kill_ends_at_once_what_no_worker_holds(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    claim = take(database, pretrain, lease=-1.0)
    stop(database, run_id, "kill")
    assert run_of(database, run_id).status == "cancelled"
    with database.write() as session:
        assert jobs.renew(session, claim, LEASE)[0] is False


def test_a_cancelled_run_whose_worker_is_gone_is_ended_by_the_reaper(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    take(database, pretrain, lease=-1.0)
    stop(database, run_id, "cancel")
    with database.write() as session:
        assert jobs.reap(session, pretrain, 3) == []
    assert run_of(database, run_id).status == "cancelled"


def test_a_retry_keeps_what_is_done_and_finishes(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    first, second, third = work(database, pretrain)
    work(database, first)
    claim = take(database, second)
    with database.write() as session:
        jobs.fail(session, claim, CRASH)
    assert run_of(database, run_id).status == "failed"
    again = retry(database, run_id)
    assert again == [second, third]
    run = run_of(database, run_id)
    assert (run.reason, run.message, run.stop, run.finished_at) == (None, None, None, None)
    finish(database, again)
    assert run_of(database, run_id).status == "succeeded"
    assert jobs_of(database, run_id)["pretrain"].attempt == 1

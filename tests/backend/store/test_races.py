"""Many at once: one winner for each job, one run for each idempotency key."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from backend.db.engine import Database
from backend.db.tables import Run
from backend.store import jobs
from backend.store.idempotency import KeyReusedError, find_answer, keep_answer
from backend.store.runs import create_run
from tests.backend.store.helpers import SPEC, submit, take
from tests.backend.store.racing import race


def _claim_all(database: Database, job_ids: list[str], worker: str) -> list[str]:
    won = []
    for job_id in job_ids:
        with database.write() as session:
            if jobs.claim(session, job_id, worker, 30.0) is not None:
                won.append(job_id)
    return won


@pytest.mark.slow
def test_each_of_200_jobs_has_one_of_four_racing_workers(database: Database) -> None:
    job_ids = [submit(database)[1][0] for _ in range(200)]
    won = race(database, _claim_all, [(job_ids, f"w{number}") for number in range(4)])
    assert Counter(job_id for of_one in won for job_id in of_one) == Counter(job_ids)


def _work_on_all(database: Database, worker: str) -> int:
    """Does whatever is queued until nothing is."""
    done = 0
    while True:
        with database.read() as session:
            waiting = [job.id for job in jobs.queued(session)]
        if not waiting:
            return done
        for job_id in waiting:
            with database.write() as session:
                claim = jobs.claim(session, job_id, worker, 30.0)
            if claim is not None:
                with database.write() as session:
                    assert jobs.renew(session, claim, 30.0) == (True, None)
                with database.write() as session:
                    jobs.succeed(session, claim)
                done += 1


@pytest.mark.slow
def test_workers_that_share_runs_neither_deadlock_nor_lose_a_job(database: Database) -> None:
    teachers = [submit(database)[0] for _ in range(6)]
    for teacher in teachers:
        submit(database, waits_for=teacher)
    done = race(database, _work_on_all, [("w1",), ("w2",), ("w3",)])
    # A worker that finds nothing queued goes; the one that ends a kind does the next.
    assert sum(done) == 12 * 5
    with database.read() as session:
        assert set(session.scalars(select(Run.status))) == {"succeeded"}


def _submit_once(database: Database, key: str) -> str:
    while True:
        try:
            with database.write() as session:
                answer = find_answer(session, key, "owner", {"spec": 1})
                if answer is not None:
                    return str(answer[1]["id"])
                run = create_run(session, SPEC)
                keep_answer(session, key, "owner", {"spec": 1}, 201, {"id": run.id})
                return run.id
        except IntegrityError:
            continue


def test_100_parallel_writers_with_one_key_make_one_run(database: Database) -> None:
    with ThreadPoolExecutor(25) as pool:
        ids = list(pool.map(lambda _: _submit_once(database, "key"), range(100)))
    assert len(set(ids)) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Run)) == 1


def test_a_key_belongs_to_its_owner_and_its_request(database: Database) -> None:
    with database.write() as session:
        keep_answer(session, "key", "owner", {"spec": 1}, 201, {"id": "run_1"})
    with database.read() as session:
        assert find_answer(session, "key", "other", {"spec": 1}) is None
        assert find_answer(session, "key", "owner", {"spec": 1}) == (201, {"id": "run_1"})
        with pytest.raises(KeyReusedError):
            find_answer(session, "key", "owner", {"spec": 2})


def test_a_claim_tells_what_the_worker_needs(database: Database) -> None:
    run_id, (pretrain,) = submit(database)
    claim = take(database, pretrain, worker="w7")
    assert (claim.run_id, claim.kind, claim.worker, claim.attempt) == (run_id, "pretrain", "w7", 1)
    assert claim.spec == SPEC.data()

"""The sending side of the queue, on a real Redis."""

from __future__ import annotations

import time

from kombu import Consumer, Message, Queue

from backend.db.engine import Database
from backend.queue import TRAIN_QUEUES, celery, redis_client, send, waiting_in_broker
from backend.store import jobs
from entromask.embedded_redis import EmbeddedRedis
from tests.backend.store.helpers import submit


def test_messages_of_all_priorities_are_seen_while_they_wait(redis: EmbeddedRedis) -> None:
    assert send([(f"job_{priority}", priority) for priority in range(10)])
    with redis_client() as client:
        assert waiting_in_broker(client) == {f"job_{priority}" for priority in range(10)}


def test_what_has_begun_is_served_first_within_a_priority(redis: EmbeddedRedis) -> None:
    waiting = [("job_a_0", 5), ("job_b_0", 4), ("job_c_3", 5), ("job_d_1", 4), ("job_e_0", 5)]
    assert send(waiting)
    with celery().connection() as connection:
        queues = [Queue(name) for name in TRAIN_QUEUES]
        served: list[str] = []

        def take(_body: object, message: Message) -> None:
            served.append(message.headers["id"])
            message.ack()

        with Consumer(connection, queues, callbacks=[take], prefetch_count=1):
            while len(served) < len(waiting):
                connection.drain_events(timeout=10)
    assert served == ["job_d_1", "job_b_0", "job_c_3", "job_a_0", "job_e_0"]


def test_jobs_of_a_run_are_sent_after_the_commit(redis: EmbeddedRedis, database: Database) -> None:
    _, queued = submit(database)
    with database.read() as session:
        found = jobs.queued(session)
        assert jobs.messages(session, queued) == [(queued[0], 5)]
    assert send(found)
    with redis_client() as client:
        assert waiting_in_broker(client) == set(queued)


def test_a_send_does_not_wait_for_a_redis_that_is_away(redis: EmbeddedRedis) -> None:
    assert send([("job_1", 5)])
    redis.stop()
    begin = time.monotonic()
    assert not send([("job_2", 5)])
    # Celery's own patience is 20 s for results and 4 s for messages.
    assert time.monotonic() - begin < 3


def test_what_was_sent_outlives_redis_and_sending_goes_on(redis: EmbeddedRedis) -> None:
    assert send([("job_1", 5)])
    redis.stop()
    redis.start()
    assert send([("job_2", 0)])
    with redis_client() as client:
        assert waiting_in_broker(client) == {"job_1", "job_2"}

"""The sending side of the queue: Celery on Redis. A message carries a job's id and nothing else."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from functools import cache

from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis, RedisError
from redis.backoff import NoBackoff
from redis.retry import Retry

from backend.db.tables import Job
from backend.store.ids import begins_a_run
from backend.store.states import PRIORITIES
from entromask.settings import settings

TRAIN, PREVIEW = "train", "preview"
# What is left of runs that have begun is served before new runs of the same priority: a run's
# evaluation does not wait for the pretraining of all others.
BEGUN = "train.begun"
TRAIN_QUEUES = (BEGUN, TRAIN)
RUN_JOB, RUN_PREVIEW = "entromask.job", "entromask.preview"

# kombu keeps each priority above 0 in a list of its own.
_SEPARATOR = "\x06\x16"

_log = logging.getLogger(__name__)


@cache
def celery() -> Celery:
    """The Celery application of this process, for the API and the workers alike."""
    app = Celery("entromask", broker=settings().redis, backend=settings().redis)
    app.conf.update(
        task_default_queue=TRAIN,
        # The database row with its lease is the truth: a message is done with as soon as it is
        # read, and is sent again by the reaper where it got lost.
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        result_serializer="json",
        result_expires=300,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "priority_steps": list(PRIORITIES),
            "queue_order_strategy": "priority",
            "socket_connect_timeout": 5,
            "socket_timeout": 30,
            # A sender does not wait for a Redis that is away, but for the reaper to send again:
            # one more try at once, for a connection that outlived the Redis it was made to.
            "max_retries": 1,
            "interval_start": 0,
        },
        task_publish_retry=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0},
    )
    return app


def send(jobs: Iterable[Job | tuple[str, int]]) -> bool:
    """Sends queued jobs to the workers; False if the broker could not be reached.

    Nothing is lost then: the jobs stay queued in the database, and the reaper sends them.
    """
    try:
        for job in jobs:
            job_id, priority = (job.id, job.priority) if isinstance(job, Job) else job
            # Without ignore_result, Celery would subscribe to the result of each job.
            celery().send_task(
                RUN_JOB,
                args=[job_id],
                task_id=job_id,
                queue=TRAIN if begins_a_run(job_id) else BEGUN,
                priority=priority,
                ignore_result=True,
            )
    except (OperationalError, RedisError, OSError) as error:
        _log.warning("the queue cannot be reached (%s); jobs are sent once it is back", error)
        return False
    return True


def redis_client() -> Redis:
    """A plain client of the queue's Redis."""
    url = settings().redis
    if url.startswith("redis+socket://"):
        url = "unix://" + url.removeprefix("redis+socket://")
    # One more try at once, as above; what is asked here is asked again soon.
    retry = Retry(NoBackoff(), 1)
    return Redis.from_url(url, socket_connect_timeout=5, socket_timeout=30, retry=retry)


def waiting_in_broker(client: Redis) -> set[str]:
    """The ids of the jobs whose message is still in the broker.

    Raises:
        redis.RedisError: the broker cannot be reached.
    """
    names = [
        f"{queue}{_SEPARATOR}{step}" if step else queue
        for queue in TRAIN_QUEUES
        for step in PRIORITIES
    ]
    messages = [message for name in names for message in client.lrange(name, 0, -1)]
    return {json.loads(message)["headers"]["id"] for message in messages}

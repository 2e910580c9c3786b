"""`python -m worker.reaper`: takes back lost jobs, and sends what the queue lost."""

from __future__ import annotations

import logging
import signal
import threading

from redis import RedisError

from backend.db.engine import Database
from backend.db.tables import Job
from backend.queue import redis_client, send, waiting_in_broker
from backend.store import jobs
from backend.store.workers import forget_lost_workers
from entromask.settings import settings
from worker.logs import set_up_logging
from worker.patience import AWAY, wait_for_servers
from worker.records import first_line

# A worker that has said nothing for so many leases is forgotten.
_FORGET_LEASES = 10

_log = logging.getLogger("reaper")


class Reaper:
    """One look after the other; what it does is safe beside other reapers."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._redis = redis_client()
        # Queued in the database and not in the broker when it looked last.
        self._missed: set[str] = set()

    def look(self) -> None:
        """Requeues, re-sends, forgets.

        Raises:
            sqlalchemy.exc.DBAPIError, redis.RedisError: the database or Redis is away.
        """
        with self._database.read() as session:
            expired = jobs.expired(session)
        for job_id in expired:
            self._reap(job_id)
        self._reconcile()
        with self._database.write() as session:
            forget_lost_workers(session, _FORGET_LEASES * settings().lease_seconds)

    def _reap(self, job_id: str) -> None:
        with self._database.write() as session:
            ids = jobs.reap(session, job_id, settings().max_attempts)
            messages = jobs.messages(session, ids)
            job = session.get(Job, job_id)
            status = job.status if job else "deleted"
        _log.info("job=%s lease is over: %s", job_id, status)
        send(messages)

    def _reconcile(self) -> None:
        """Sends again what is queued and in no message, seen twice: one may be on its way."""
        with self._database.read() as session:
            queued = {job.id: job.priority for job in jobs.queued(session)}
        missing = set(queued) - waiting_in_broker(self._redis)
        lost = missing & self._missed
        self._missed = missing - lost
        if lost and send([(job, queued[job]) for job in queued if job in lost]):
            for job in sorted(lost):
                _log.info("job=%s was in no message: sent again", job)


def main() -> None:
    """Looks until SIGTERM or SIGINT."""
    set_up_logging()
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    wait_for_servers()
    reaper = Reaper(Database(settings().database))
    _log.info("ready lease=%g s", settings().lease_seconds)
    away = False
    while not end.is_set():
        try:
            reaper.look()
            if away:
                _log.info("the queue and the database are back")
            away = False
        except (*AWAY, RedisError, OSError) as error:
            if not away:
                _log.warning("cannot look, will try again: %s", first_line(error))
            away = True
        end.wait(settings().lease_seconds / 3)
    _log.info("ended")


if __name__ == "__main__":
    main()

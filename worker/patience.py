"""What to do while Redis or the database is away: wait, longer each time, and say so once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator

from redis import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from backend.db.engine import Database
from backend.db.migrate import is_current
from backend.queue import redis_client
from entromask.settings import settings

# What a database raises that is away, is starting or is busy.
AWAY = (DBAPIError,)

_log = logging.getLogger("worker")


def pauses(first: float = 0.2, most: float = 5.0) -> Iterator[float]:
    """Seconds to wait between attempts: doubled each time, up to `most`."""
    pause = first
    while True:
        yield pause
        pause = min(most, 2 * pause)


def wait_for_servers() -> None:
    """Returns once Redis answers and the database has its tables."""
    _wait("Redis", _redis_fault)
    _wait("the database", _database_fault)


def _wait(what: str, fault: Callable[[], str | None]) -> None:
    said = False
    for pause in pauses():
        problem = fault()
        if problem is None:
            break
        if not said:
            _log.warning("waiting for %s: %s", what, problem)
            said = True
        time.sleep(pause)
    if said:
        _log.info("%s is there", what)


def _redis_fault() -> str | None:
    try:
        redis_client().ping()
    except (RedisError, OSError) as error:
        return f"{settings().redis.rpartition('@')[2]}: {error}"
    return None


def _database_fault() -> str | None:
    database = Database(settings().database)
    try:
        if is_current(database):
            return None
        return "its tables are not there yet (python -m backend.db.migrate makes them)"
    except SQLAlchemyError as error:
        return str(getattr(error, "orig", error)).strip().partition("\n")[0]
    finally:
        database.close()

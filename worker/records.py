"""A claimed job in the database; a database that is away for a while is waited for."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.store import feed, jobs, runs
from backend.store.jobs import Claim
from entromask.settings import settings
from worker.ending import Ending
from worker.events import EventFile
from worker.patience import AWAY, pauses

T = TypeVar("T")
Messages = list[tuple[str, int]]

# How often a supervisor looks what was asked of its run.
_LOOK_SECONDS = 0.5

_log = logging.getLogger("worker")


def persist(database: Database, action: Callable[[Session], T], give_up: Callable[[], bool]) -> T:
    """Does something in a transaction, again and again until the database is there.

    Raises:
        sqlalchemy.exc.DBAPIError: `give_up` said so meanwhile.
    """
    said = False
    for pause in pauses():
        try:
            with database.write() as session:
                return action(session)
        except AWAY as error:
            if give_up():
                raise
            if not said:
                _log.warning("the database is away, waiting for it: %s", first_line(error))
                said = True
        time.sleep(pause)
    raise AssertionError("pauses never end")


def first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip().partition("\n")[0]


class Record:
    """Renews the lease of a claim, hears what is asked of its run, and feeds it the events.

    Attributes:
        held: the job is still this worker's.
        asked: None, "cancel" or "kill".
    """

    def __init__(self, database: Database, claim: Claim, source: str, events: Path) -> None:
        self._database, self.claim, self._source = database, claim, source
        self._file = EventFile(events)
        self._renew_at = time.monotonic() + settings().lease_seconds / 4
        self._look_at = 0.0
        self._pauses = pauses()
        self._away_until: float | None = None
        self.held = True
        self.asked: str | None = None

    def known(self, give_up: Callable[[], bool]) -> int:
        """Feeds what a predecessor left; returns the last event that the database has."""

        def last(session: Session) -> int:
            return feed.fed(session, self.claim.run_id, self._source)

        while self._feed():
            pass
        return persist(self._database, last, give_up)

    def keep_up(self) -> None:
        """Does what is due; a database that is away is tried again later."""
        now = time.monotonic()
        if self._away_until is not None and now < self._away_until:
            return
        try:
            if now >= self._renew_at:
                with self._database.write() as session:
                    lease = settings().lease_seconds
                    self.held, self.asked = jobs.renew(session, self.claim, lease)
                self._renew_at = now + settings().lease_seconds / 4
            elif now >= self._look_at:
                with self._database.read() as session:
                    self.asked = jobs.asked(session, self.claim.run_id)
                self._look_at = now + _LOOK_SECONDS
            self._feed()
        except AWAY as error:
            if self._away_until is None:
                _log.warning(
                    "job=%s the database is away, the job goes on: %s",
                    self.claim.job_id,
                    first_line(error),
                )
            self._away_until = time.monotonic() + next(self._pauses)
            return
        if self._away_until is not None:
            _log.info("job=%s the database is back", self.claim.job_id)
            self._away_until, self._pauses = None, pauses()

    def _feed(self) -> bool:
        """Stores the next events; whether there were any."""
        events = self._file.read()
        if events:
            with self._database.write() as session:
                feed.feed(session, self.claim.run_id, self._source, events)
            self._file.take()
        return bool(events)

    def close(self, ending: Ending, results: Path, give_up: Callable[[], bool]) -> Messages:
        """Feeds the rest and writes how the job ended; returns what to send to the queue."""

        def rest(session: Session) -> bool:
            events = self._file.read()
            feed.feed(session, self.claim.run_id, self._source, events)
            return bool(events)

        def end(session: Session) -> Messages:
            if ending.how == "succeeded" and self.claim.kind == "report":
                content = json.loads(results.read_text(encoding="utf-8"))
                runs.keep_results(session, self.claim.run_id, content)
            ids = ending.write(session, self.claim, settings().max_attempts)
            return jobs.messages(session, ids)

        if ending.how == "forgotten":
            return []
        while persist(self._database, rest, give_up):
            self._file.take()
            self.keep_up()
        return persist(self._database, end, give_up)

"""Runs and their locks: whatever changes a run or its jobs locks the run first."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.tables import Run

# For what is read under a run's lock: a session would otherwise show a row as it was when the
# session first saw it, before the lock.
FRESH: Final = {"populate_existing": True}


def get_run(session: Session, run_id: str, *, lock: bool = False) -> Run | None:
    """A run by its id. With `lock`, every other transaction that locks it waits.

    Whatever changes a run or its jobs locks the run first, and a run before those that wait for
    it: one order, so no deadlock.
    """
    if "\0" in run_id:  # Postgres refuses to look for it
        return None
    query = select(Run).where(Run.id == run_id)
    if lock:
        query = query.with_for_update().execution_options(**FRESH)
    return session.scalars(query).one_or_none()


def hold(session: Session, run_id: str) -> None:
    """Locks a run that another is going to wait for: it cannot end, and so not overlook that one,
    before this transaction is over."""
    session.execute(select(Run.id).where(Run.id == run_id).with_for_update())

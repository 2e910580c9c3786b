"""Which runs need which: those that wait for one, and those whose spec names one."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.tables import Job, Run
from backend.store.states import OVER

# What is no part of the method cannot name a run.
_WORDS = ("name", "tags")


def users_of(session: Session, run_id: str) -> list[str]:
    """The ids of the runs that are not over and need the model of this one."""
    waiting = select(Job.run_id).where(Job.waits_for == run_id, Job.status == "waiting")
    found = set(session.scalars(waiting))
    going = select(Run.id, Run.spec).where(Run.status.not_in(OVER), Run.id != run_id)
    for other_id, spec in session.execute(going):
        method = {key: value for key, value in spec.items() if key not in _WORDS}
        # An id is 24 random digits: it stands in a reference or in a path, nowhere by chance.
        if run_id in json.dumps(method):
            found.add(other_id)
    return sorted(found)


def awaited_runs(session: Session, run_id: str) -> list[tuple[str, str | None]]:
    """(id, status) of what the unfinished jobs of a run wait for; None: it is gone."""
    query = (
        select(Job.waits_for, Run.status)
        .outerjoin(Run, Run.id == Job.waits_for)
        .where(Job.run_id == run_id, Job.waits_for.is_not(None), Job.status != "succeeded")
        .distinct()
    )
    return [(str(other), status) for other, status in session.execute(query)]

"""`python -m worker.health worker|reaper`: what the health checks of the containers ask."""

from __future__ import annotations

import socket
import sys

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.engine import Database, clock
from backend.db.tables import Job
from backend.store.workers import list_workers
from entromask.settings import settings


def worker_fault(session: Session, host: str, within: float) -> str | None:
    """What is wrong with the workers of a host; None if one was seen in the last seconds."""
    if any(worker.host == host for worker, _ in list_workers(session, within)):
        return None
    return f"no worker of the host '{host}' was seen in the last {within:g} s"


def reaper_fault(session: Session, within: float) -> str | None:
    """What is wrong with the reaper; None if no lease has been over for that many seconds."""
    late = select(Job.id).where(Job.status == "running", Job.lease_until < clock(session) - within)
    job = session.scalars(late).first()
    return f"the lease of the job {job} ended more than {within:g} s ago" if job else None


def main(part: str) -> int:
    """Prints the fault or `ok`; the exit code of the check."""
    patience = 2 * settings().lease_seconds
    with Database(settings().database).read() as session:
        if part == "reaper":
            fault = reaper_fault(session, patience)
        else:
            fault = worker_fault(session, socket.gethostname(), patience)
    print(fault or "ok")
    return 1 if fault else 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["worker"], ["reaper"]):
        sys.exit("usage: python -m worker.health worker|reaper")
    sys.exit(main(sys.argv[1]))

"""Submits a run: its row, its jobs, its folder with the spec."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable

from sqlalchemy.orm import Session

from backend.db.tables import Job
from backend.idempotent import Answer
from backend.queue import send
from backend.specs import CheckedSpec
from backend.store.runs import create_run
from backend.store.settle import settle
from backend.views import run_view
from entromask.errors import DiskFullError
from entromask.run_folder import write_atomically
from entromask.settings import settings
from entromask.spec import RunSpec

_log = logging.getLogger(__name__)


def submit(
    session: Session, checked: CheckedSpec, *, tags: list[str], notes: str, priority: int
) -> Answer:
    """Adds a run to the transaction; its jobs are sent when that is committed."""
    run = create_run(
        session,
        checked.spec,
        tags=tags,
        notes=notes,
        priority=priority,
        waits_for=checked.waits_for,
    )
    jobs = to_send(settle(session, run))
    return Answer(
        run_view(run),
        before_commit=lambda: write_spec(run.id, checked.spec),
        after_commit=lambda: send_all(jobs),
    )


def to_send(jobs: Iterable[Job]) -> list[tuple[str, int]]:
    """What `send` needs of jobs, once their transaction is over."""
    return [(job.id, job.priority) for job in jobs]


def send_all(jobs: Iterable[tuple[str, int]]) -> None:
    """Sends jobs after their commit; where the queue is away the reaper does it."""
    send(jobs)


def write_spec(run_id: str, spec: RunSpec) -> None:
    """Writes the spec into the run's folder: from now on other specs may name this run.

    Raises:
        DiskFullError: the folder cannot be written.
    """
    folder = settings().runs / run_id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "spec.yaml", spec.to_yaml())
    except OSError as error:
        raise DiskFullError(
            f"the run's folder {folder} cannot be written: {error.strerror}",
            "make room there, or set ENTROMASK_HOME",
        ) from None


def move_to_trash(run_id: str) -> None:
    """Puts a deleted run's folder into ENTROMASK_HOME/trash: nothing is lost by a DELETE."""
    folder, trash = settings().runs / run_id, settings().root / "trash"
    if not folder.is_dir():
        return
    try:
        trash.mkdir(parents=True, exist_ok=True)
        folder.replace(trash / run_id)
    except OSError:
        # Another file system below: moved piece by piece.
        try:
            shutil.move(folder, trash / run_id)
        except OSError as error:
            _log.warning("the folder of the deleted run %s stays where it is: %s", run_id, error)

"""What is asked of a run: cancel, kill, resume, retry, delete, clone; and when it may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.tables import Run
from backend.idempotent import Answer
from backend.overrides import apply_overrides, spec_problem_of_clone
from backend.paging import weak_etag
from backend.problems import ProblemError, missing
from backend.queue import send
from backend.specs import check_spec
from backend.store.jobs import restart, stop_run
from backend.store.locks import get_run
from backend.store.references import awaited_runs, users_of
from backend.store.runs import delete_run
from backend.store.states import OVER, RUN_STATUSES
from backend.submission import submit
from backend.views import run_view
from entromask.resources import CloneRequest
from entromask.spec_errors import SpecError

_GOING = tuple(status for status in RUN_STATUSES if status not in OVER)


@dataclass(frozen=True)
class Verb:
    """In which states a run takes it, and how the sentence goes on where it does not."""

    states: Sequence[str]
    participle: str


VERBS = {
    "cancel": Verb(_GOING, "cancelled"),
    "kill": Verb(_GOING, "killed"),
    "resume": Verb(("cancelled",), "resumed"),
    "retry": Verb(("failed",), "retried"),
    "delete": Verb(OVER, "deleted"),
}
# What a user of the wrong verb is after.
_INSTEAD = {
    "queued": "cancel it first, or wait",
    "running": "cancel it first, or wait",
    "cancelling": "wait until it is cancelled; kill stops it at once",
    "succeeded": "clone it to run it again",
    "failed": "retry continues a failed run",
    "cancelled": "resume continues a cancelled run",
}


def change_state(database: Database, run_id: str, verb: str) -> tuple[dict[str, Any], str]:
    """Does a verb; returns the run and its ETag.

    Raises:
        ProblemError: no such run, or not in this state.
    """
    with database.write() as session:
        run = _locked(session, run_id, verb)
        ids: Sequence[str] = []
        if verb in ("cancel", "kill"):
            stop_run(session, run, verb)
        else:
            _check_awaited(session, run)
            ids = restart(session, run)
        session.flush()
        view, etag, priority = run_view(run), weak_etag(run.id, run.version), run.priority
    send([(id_, priority) for id_ in ids])
    return view, etag


def _locked(session: Session, run_id: str, verb: str) -> Run:
    run = get_run(session, run_id, lock=True)
    if run is None:
        raise missing("run", run_id)
    rule = VERBS[verb]
    if run.status not in rule.states:
        raise ProblemError(
            "wrong_state",
            f"the run {run.id} is {run.status} and cannot be {rule.participle}; "
            f"allowed: {', '.join(rule.states)}",
            _INSTEAD[run.status],
        )
    return run


def _check_awaited(session: Session, run: Run) -> None:
    """A run that waits for one that is gone, or has ended badly, would wait for ever."""
    for other_id, status in awaited_runs(session, run.id):
        if status in ("failed", "cancelled", None):
            raise ProblemError(
                "wrong_state",
                f"the run {run.id} waits for {other_id}, which is {status or 'deleted'}",
                f"finish {other_id} first" if status else "clone it with another teacher",
            )


def delete_unused(session: Session, run_id: str) -> None:
    """Deletes a run that is over and that no run to come needs.

    Raises:
        ProblemError: no such run, not over, or needed.
    """
    run = _locked(session, run_id, "delete")
    users = users_of(session, run_id)
    if users:
        raise ProblemError(
            "in_use",
            f"the run {run_id} is needed by {', '.join(users[:5])}, which is not over",
            "cancel that run first, or wait until it is over",
        )
    delete_run(session, run)


def overridden(session: Session, run_id: str, wanted: CloneRequest) -> Answer:
    """Submits the spec of a run again, with changes.

    Raises:
        ProblemError: no such run, or the changed spec is refused.
    """
    run = get_run(session, run_id)
    if run is None:
        raise missing("run", run_id)
    data = apply_overrides(run.spec, wanted.overrides)
    try:
        checked = check_spec(session, data, lock=True)
    except SpecError as error:
        raise spec_problem_of_clone(error, wanted.overrides) from None
    return submit(
        session,
        checked,
        tags=run.tags if wanted.tags is None else wanted.tags,
        notes=run.notes if wanted.notes is None else wanted.notes,
        priority=run.priority if wanted.priority is None else wanted.priority,
    )

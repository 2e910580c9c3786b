"""What earlier runs measured, for estimates of runs to come."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.tables import Job, Run, Worker
from entromask.durations import Speed, measured_speed
from entromask.errors import InputError
from entromask.modeling.folders import json_object
from entromask.settings import settings
from entromask.spec import RunSpec

_LATEST = 100


@dataclass(frozen=True)
class Earlier:
    """A run that succeeded.

    Attributes:
        spec: resolved, as plain data.
        cost: that of its results.
        jobs: seconds by a job's (kind, name), of those that were done in one go.
    """

    spec: dict[str, Any]
    cost: dict[str, Any]
    jobs: dict[tuple[str, str], float] = field(default_factory=dict)


def finished(session: Session) -> list[Earlier]:
    """The runs that succeeded last, the newest first."""
    query = (
        select(Run.id, Run.spec, Run.results)
        .where(Run.status == "succeeded")
        .order_by(Run.created_at.desc(), Run.id.desc())
        .limit(_LATEST)
    )
    rows = session.execute(query).all()
    jobs = _jobs(session, [id_ for id_, _, _ in rows])
    return [
        Earlier(spec, results["cost"], jobs[id_])
        for id_, spec, results in rows
        if results and results.get("cost")
    ]


def _jobs(session: Session, runs: list[str]) -> dict[str, dict[tuple[str, str], float]]:
    """By run, the seconds of the jobs that succeeded at their first attempt."""
    query = select(Job.run_id, Job.kind, Job.name, Job.started_at, Job.finished_at).where(
        Job.run_id.in_(runs), Job.status == "succeeded", Job.attempt == 1
    )
    found: dict[str, dict[tuple[str, str], float]] = defaultdict(dict)
    for run, kind, name, started, ended in session.execute(query):
        if started is not None and ended is not None:
            found[run][kind, name] = ended - started
    return found


def speed(session: Session) -> Speed | None:
    """What the worker that was seen last has measured; else what was measured on this machine."""
    query = select(Worker.state).where(Worker.queue == "train").order_by(Worker.seen_at.desc())
    for state in session.scalars(query):
        try:
            return Speed.of(state["speed"])
        except (KeyError, TypeError, ValueError):
            continue  # it has not measured yet
    return measured_speed()


def vocabulary(session: Session, spec: RunSpec) -> int | None:
    """The types of the tokenizer that an earlier run trained as a spec asks for, on its corpus.

    Of a run of an earlier version, which does not say it in its results, those of its model.
    """
    wanted = _trained_on(spec.data())
    query = (
        select(Run.id, Run.spec, Run.results)
        .where(Run.status == "succeeded")
        .order_by(Run.created_at.desc(), Run.id.desc())
        .limit(_LATEST)
    )
    for run_id, data, results in session.execute(query):
        if _trained_on(data) == wanted:
            types = ((results or {}).get("tokenizer") or {}).get("vocab_size")
            types = types or _types_of_model(settings().runs / run_id / "model")
            if isinstance(types, int) and types > 0:
                return types
    return None


def _trained_on(data: dict[str, Any]) -> Any:
    """What decides a trained tokenizer: its keys and the text, of which it reads all."""
    corpus = {key: value for key, value in data["corpus"].items() if key != "max_tokens"}
    return data["tokenizer"], corpus


def _types_of_model(folder: Path) -> Any:
    try:
        return json_object(folder / "config.json").get("vocab_size")
    except InputError:
        return None


def has_group(session: Session, group_hash: str, seed: int) -> int:
    """How many seeds of a method there are, with this one."""
    query = select(Run.seed).where(Run.group_hash == group_hash).distinct()
    return len({*session.scalars(query), seed})

"""What earlier runs measured, for estimates of runs to come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.tables import Run
from entromask.errors import InputError
from entromask.modeling.folders import json_object
from entromask.settings import settings
from entromask.spec import RunSpec

_LATEST = 100


def finished(session: Session) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """(spec, cost) of the runs that succeeded last, the newest first."""
    query = (
        select(Run.spec, Run.results)
        .where(Run.status == "succeeded")
        .order_by(Run.created_at.desc(), Run.id.desc())
        .limit(_LATEST)
    )
    rows = session.execute(query).all()
    return [(spec, results["cost"]) for spec, results in rows if results and results.get("cost")]


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

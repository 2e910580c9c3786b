"""What earlier runs measured, for estimates of runs to come."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.db.tables import Run

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


def has_group(session: Session, group_hash: str, seed: int) -> int:
    """How many seeds of a method there are, with this one."""
    query = select(Run.seed).where(Run.group_hash == group_hash).distinct()
    return len({*session.scalars(query), seed})

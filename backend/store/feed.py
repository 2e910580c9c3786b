"""The way of a run folder's events into the database: at least once in, exactly once stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Executable, insert, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.db.tables import Event, Feed, Metric
from backend.store.locks import get_run
from backend.store.plain import finite

# The events of the run's own process; a cell's have its job's name.
RUN = "run"

_PROGRESS = ("fraction", "tokens_per_second", "eta_seconds")
# Of a progress event's figures: what says where the run is, not how it goes.
_NO_HISTORY = ("fraction", "eta_seconds")


def fed(session: Session, run_id: str, source: str) -> int:
    """The sequence number of the last event of a file that the database has."""
    query = select(Feed.seq).where(Feed.run_id == run_id, Feed.source == source)
    return session.scalar(query) or 0


def feed(session: Session, run_id: str, source: str, events: Sequence[dict[str, Any]]) -> None:
    """Stores the events of one file, in their order; those that are known are passed over.

    Progress goes to the run's row, figures to its latest metrics and their history, everything
    but progress to its events. A point that is fed again (a step done twice, after a crash)
    replaces the one before.
    """
    run = get_run(session, run_id, lock=True)
    if run is None:
        return
    fresh = _unknown(events, fed(session, run_id, source))
    if not fresh:
        return
    number, rows = run.events, []
    latest = dict(run.metrics)
    points: dict[tuple[str, int], dict[str, Any]] = {}
    for event in fresh:
        figures = finite(event.get("metrics") or {})
        if event["type"] == "progress":
            if source == RUN:
                run.progress = {
                    name: value
                    for name, value in (
                        ("step", event.get("step")),
                        ("total", event.get("total")),
                        *((name, figures.get(name)) for name in _PROGRESS),
                    )
                    if value is not None
                }
        else:
            number += 1
            data = {key: finite(value) for key, value in event.items() if key != "seq"}
            rows.append(
                {
                    "run_id": run_id,
                    "seq": number,
                    "source": source,
                    "source_seq": event["seq"],
                    "data": data,
                }
            )
        if event["type"] == "stage" and source == RUN:
            run.stage, run.progress = event["stage"], None
        if event["type"] == "warning" and event.get("message") not in run.warnings:
            run.warnings = [*run.warnings, event["message"]]
        if event["type"] in ("progress", "metrics") and "step" in event and source == RUN:
            for key, value in figures.items():
                if key in _NO_HISTORY or not isinstance(value, int | float | None):
                    continue
                latest[key] = value
                point = {"run_id": run_id, "key": key, "step": event["step"], "value": value}
                points[key, event["step"]] = point
    if rows:
        session.execute(insert(Event), rows)
    if points:
        session.execute(_upsert_points(session), list(points.values()))
    run.metrics, run.events = latest, number
    run.version += 1
    _remember(session, run_id, source, fresh[-1]["seq"])


def _unknown(events: Sequence[dict[str, Any]], known: int) -> list[dict[str, Any]]:
    """The events behind number `known`, each once."""
    fresh = []
    for event in events:
        if event["seq"] > known:
            known = event["seq"]
            fresh.append(event)
    return fresh


def _upsert_points(session: Session) -> Executable:
    statement = _dialect(session).insert(Metric)
    upsert: Executable = statement.on_conflict_do_update(
        index_elements=["run_id", "key", "step"], set_={"value": statement.excluded.value}
    )
    return upsert


def _remember(session: Session, run_id: str, source: str, seq: int) -> None:
    statement = _dialect(session).insert(Feed).values(run_id=run_id, source=source, seq=seq)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id", "source"], set_={"seq": statement.excluded.seq}
        )
    )


def _dialect(session: Session) -> Any:
    return postgresql if session.get_bind().dialect.name == "postgresql" else sqlite


def events_after(
    session: Session, run_id: str, after: int, limit: int, types: Sequence[str] = ()
) -> list[Event]:
    """The events of a run behind sequence number `after`, oldest first; all, or of some types."""
    query = select(Event).where(Event.run_id == run_id, Event.seq > after)
    if types:
        query = query.where(Event.data["type"].as_string().in_(types))
    return list(session.scalars(query.order_by(Event.seq).limit(limit)))

"""A run's events as a stream (server-sent events): those stored, then those to come."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.concurrency import run_in_threadpool

from backend.db.engine import Database
from backend.store.feed import events_after
from backend.store.overview import Standing, standing
from backend.views import event_view
from entromask.resources import OVER

# How often the database is asked, and how often a silent stream says that it is alive.
POLL_SECONDS, ALIVE_SECONDS = 0.5, 15.0
_BATCH = 500


async def event_stream(
    database: Database, run_id: str, after: int, stopping: threading.Event
) -> AsyncIterator[bytes]:
    """Messages `event` (id: the event's seq), `progress` (no id, when the run's row changed), and
    a last one `end` when the run is over and everything was sent.

    A database that is away is waited for. The server's end ends the stream without `end`: the
    client comes again with Last-Event-ID.
    """
    seen, said = -1, time.monotonic()
    yield b"retry: 2000\n\n"
    while not stopping.is_set():
        try:
            events, now = await run_in_threadpool(_look, database, run_id, after)
        except (OperationalError, InterfaceError, PoolTimeoutError):
            events, now = [], None
        else:
            if now is None:  # deleted meanwhile
                yield _message("end", {"status": None})
                return
        for event in events:
            after = event["seq"]
            yield _message("event", event, after)
        if now is not None and now.version != seen:
            seen = now.version
            yield _message("progress", _progress(now))
            said = time.monotonic()
        if now is not None and now.status in OVER and after >= now.events:
            yield _message("end", {"status": now.status})
            return
        if time.monotonic() - said > ALIVE_SECONDS:
            said = time.monotonic()
            yield b": alive\n\n"
        if len(events) < _BATCH:
            await asyncio.sleep(POLL_SECONDS)


def _look(
    database: Database, run_id: str, after: int
) -> tuple[list[dict[str, Any]], Standing | None]:
    with database.read() as session:
        # First how it stands: what comes between belongs to the next look.
        now = standing(session, run_id)
        if now is None or now.events <= after:
            return [], now
        return [event_view(event) for event in events_after(session, run_id, after, _BATCH)], now


def _progress(now: Standing) -> dict[str, Any]:
    return {
        "object": "run.progress",
        "status": now.status,
        "stage": now.stage,
        "progress": now.progress,
        "metrics": now.metrics,
    }


def _message(kind: str, data: dict[str, Any], id_: int | None = None) -> bytes:
    number = f"id: {id_}\n" if id_ is not None else ""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"{number}event: {kind}\ndata: {text}\n\n".encode()

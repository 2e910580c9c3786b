"""Processes that do the same thing at the same moment, as several workers do."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

from backend.db.engine import Database

_SECONDS = 120


def race(
    database: Database, act: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
) -> list[Any]:
    """What `act(database, *call)` returned in a process of its own for each call.

    They begin together: each waits until all have started.
    """
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(len(calls))
    with context.Pool(len(calls), _begin, (database.url, gate)) as pool:
        given = pool.starmap_async(_act, [(act, call) for call in calls], chunksize=1)
        answers: list[Any] = given.get(_SECONDS)
        pool.close()
        pool.join()
    return answers


_here: dict[str, Any] = {}


def _begin(url: str, gate: Any) -> None:
    _here["database"], _here["gate"] = Database(url), gate


def _act(act: Callable[..., Any], call: tuple[Any, ...]) -> Any:
    _here["gate"].wait(_SECONDS)
    return act(_here["database"], *call)

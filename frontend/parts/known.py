"""What a browser session has read of the API and need not ask for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import streamlit as st

from entromask.client import Client
from entromask.resources import OVER, Event, Run

T = TypeVar("T")

_KEY = "entromask_known"
# More than any page shows at once; the ones that were used longest ago go first.
_MOST = 120


def known(name: str, version: Hashable, read: Callable[[], T]) -> T:
    """What `read` gave for this name and version; read anew where there is nothing of it.

    Args:
        version: changes when the answer may have changed; see `version_of`.
    """
    kept: OrderedDict[str, tuple[Hashable, T]] = st.session_state.setdefault(_KEY, OrderedDict())
    if name not in kept or kept[name][0] != version:
        kept[name] = (version, read())
    kept.move_to_end(name)
    while len(kept) > _MOST:
        kept.popitem(last=False)
    return kept[name][1]


def version_of(run: Run) -> Hashable:
    """Changes whenever the run has brought forth something new; of a run that is over, no more."""
    if run.status in OVER:
        return (run.status, run.attempt, run.finished_at)
    step = run.progress.step if run.progress else None
    return (run.status, run.attempt, run.stage, step, *sorted(run.metrics.items()))


def events_of(api: Client, run: Run, types: Sequence[str] = ()) -> list[Event]:
    """The run's events so far, all or of some types; only those that are new are asked for."""
    name = " ".join((run.id, *types))
    found: list[Event] = known(f"events {name}", run.attempt, list)

    def read() -> None:
        after = found[-1].seq if found else 0
        new = api.events(run, after=after, types=types)
        found.extend(event for event in new if event.seq > after)

    known(f"events read {name}", version_of(run), read)
    return found

"""The head of an experiment's page: how far it is, and how its runs stand."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import streamlit as st

from entromask.resources import OVER, Experiment
from frontend.parts.experiment.plan_table import counted
from frontend.parts.words import ago

# In the order in which they are told.
_ORDER = ("running", "cancelling", "queued", "succeeded", "failed", "cancelled")


def over(runs: Mapping[str, int]) -> int:
    """How many runs have ended, well or not."""
    return sum(runs.get(status, 0) for status in OVER)


def counts(found: Experiment) -> str:
    """`7 of 12 runs over: 2 running, 3 queued, 6 succeeded, 1 failed`."""
    parts = [f"{found.runs[status]} {status}" for status in _ORDER if found.runs.get(status)]
    gone = found.total - sum(found.runs.values())
    parts += [f"{gone} deleted"] if gone > 0 else []
    words = f"{over(found.runs)} of {counted(found.total, 'run')} over"
    return f"{words}: {', '.join(parts)}" if parts else words


def show_state(found: Experiment) -> None:
    """The status, and while something moves how far it is."""
    with st.container(horizontal=True, vertical_alignment="center", key="state"):
        status = escape(found.status)
        st.html(f"<div class='em-status {status}'>{status}</div>", width="content")
        st.html(f"<code class='em-id'>{escape(found.id)}</code>", width="content")
        st.caption(f"made {ago(found.created_at)}", width="content")
    if found.status in OVER:
        st.caption(f"{counts(found)}.")
    else:
        st.progress(min(1.0, max(0.0, found.fraction)), text=counts(found))

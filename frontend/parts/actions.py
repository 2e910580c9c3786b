"""What can be done with runs: what of it is possible now, what is asked before work is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from entromask.client import Client
from entromask.errors import EntromaskError
from entromask.resources import OVER, Run
from frontend.session import client, literal

_GOING = ("queued", "running", "cancelling")


@dataclass(frozen=True)
class Action:
    """A verb of the API.

    Args:
        states: the runs that take it.
        done: how a finished action is told of.
        loses: what is lost by it; where that is something, the user is asked first.
    """

    label: str
    states: Sequence[str]
    act: Callable[[Client, Run], object]
    done: str
    help: str
    loses: str | None = None


ACTIONS: dict[str, Action] = {
    "cancel": Action(
        "Cancel",
        _GOING,
        lambda api, run: api.cancel(run),
        "is being cancelled",
        "stops it after a checkpoint; resume continues it",
    ),
    "kill": Action(
        "Kill",
        _GOING,
        lambda api, run: api.kill(run),
        "was killed",
        "stops it at once",
        "What it did since its last checkpoint is lost.",
    ),
    "resume": Action(
        "Resume",
        ("cancelled",),
        lambda api, run: api.resume(run),
        "is queued again",
        "continues from the last checkpoint",
    ),
    "retry": Action(
        "Retry",
        ("failed",),
        lambda api, run: api.retry(run),
        "is queued again",
        "does its unfinished work again, from the last checkpoint",
    ),
    "delete": Action(
        "Delete",
        OVER,
        lambda api, run: api.delete_run(run),
        "was deleted",
        "removes it with its results",
        "Its scores and metrics are lost; its files go to the trash of the service.",
    ),
}


def act(verb: str, runs: Sequence[Run], after: Callable[[], None] | None = None) -> None:
    """Does something with each run, at once or after a question; says how it went.

    Args:
        after: called when all is done, before the page is shown anew.
    """
    action = ACTIONS[verb]
    if action.loses is None:
        _do(action, runs, after)
    else:
        _ask(action, runs, after)


def _ask(action: Action, runs: Sequence[Run], after: Callable[[], None] | None) -> None:
    what = "this run" if len(runs) == 1 else f"{len(runs)} runs"

    @st.dialog(f"{action.label} {what}?")
    def question() -> None:
        for run in runs[:10]:
            st.markdown(f"- {literal(run.name)} ({literal(run.id)}), {run.status}")
        if len(runs) > 10:
            st.markdown(f"- and {len(runs) - 10} more")
        st.write(action.loses)
        with st.container(horizontal=True):
            if st.button(action.label, type="primary", key="confirm"):
                _do(action, runs, after)
            if st.button("Keep" if action.label == "Delete" else "Leave it", key="decline"):
                st.rerun()

    question()


def _do(action: Action, runs: Sequence[Run], after: Callable[[], None] | None) -> None:
    """Tells of every run by name: one that fails does not hide the others."""
    told: list[tuple[str, bool]] = []
    for run in runs:
        try:
            action.act(client(), run)
            told.append((f"{literal(run.name)} {action.done}", True))
        except EntromaskError as error:
            told.append((f"{literal(run.name)}: {literal(error.message)}", False))
    st.session_state["entromask_told"] = told
    if after is not None:
        after()
    st.rerun()


def tell() -> None:
    """Says how the last action went; a page calls it once."""
    for sentence, good in st.session_state.pop("entromask_told", []):
        if good:
            st.toast(sentence)
        else:
            st.error(sentence)

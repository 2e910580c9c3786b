"""What can be done with an experiment: stop it, continue it, extend it by seeds, remove it."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from entromask.errors import EntromaskError
from entromask.resources import OVER, Experiment
from frontend.parts.experiment.plan_table import counted
from frontend.parts.submit.draft import parse_seeds
from frontend.routes import go, link
from frontend.session import client, literal, show


def actions(found: Experiment) -> None:
    """Buttons for what is possible now, and ways to its runs."""
    again = found.runs.get("failed", 0) + found.runs.get("cancelled", 0)
    gone = max(0, found.total - sum(found.runs.values()))
    with st.container(horizontal=True, vertical_alignment="center", key="actions"):
        if found.status not in OVER and st.button(
            "Cancel",
            key="cancel",
            help="stops its runs, each after a checkpoint; Retry continues them",
        ):
            _do(found, lambda: client().cancel_experiment(found), "is being cancelled")
        if again + gone and st.button(
            f"Retry {counted(again + gone, 'run')}",
            key="retry",
            type="primary" if found.status in OVER else "secondary",
            help="continues failed and cancelled runs, and makes deleted ones again",
        ):
            _do(found, lambda: client().retry_experiment(found), "goes on")
        extend(found)
        if st.button("Clone", key="clone", help="a new experiment from its text"):
            go("experiments", new="1", clone=found.id)
        if found.status in OVER and st.button(
            "Delete", key="delete", help="removes the experiment; its runs stay"
        ):
            _ask(found)
        link("Its runs in the list", "runs", experiment=found.id)


def extend(found: Experiment) -> None:
    """The small form that adds seeds."""
    # Seeds that somebody else added meanwhile are in a new form.
    version = hash((found.id, *(found.spec.get("seeds") or [])))
    with st.popover("Add seeds", help="the same methods and controls, more seeds", key="extend"):
        with st.form(f"extend {version}", border=False, width=380):
            there = ", ".join(map(str, found.spec.get("seeds") or []))
            typed = st.text_input(
                "More pretraining seeds",
                key=f"seeds {version}",
                placeholder="for example 3, 4 or 3-7",
                help=f"there are {there}",
            )
            sent = st.form_submit_button("Queue them", type="primary")
        if not sent:
            return
        seeds = parse_seeds(typed)
        if isinstance(seeds, str):
            st.error(literal(f"{seeds[:1].upper()}{seeds[1:]}."))
            return
        try:
            client().extend_experiment(found, seeds=seeds)
        except EntromaskError as error:
            show(error)
            return
        _tell(f"{literal(found.name)} has more seeds: {literal(typed)}", True)
        st.rerun()


def _do(found: Experiment, act: Callable[[], object], done: str) -> None:
    try:
        act()
        _tell(f"{literal(found.name)} {done}", True)
    except EntromaskError as error:
        _tell(f"{literal(found.name)}: {literal(error.message)}", False)
    st.rerun()


def _ask(found: Experiment) -> None:
    @st.dialog("Delete this experiment?")
    def question() -> None:
        st.markdown(f"{literal(found.name)} ({literal(found.id)})")
        st.write(
            "Its plan and its report are lost. Its runs stay, with all that they brought forth."
        )
        with st.container(horizontal=True):
            if st.button("Delete", type="primary", key="confirm"):
                try:
                    client().delete_experiment(found)
                except EntromaskError as error:
                    _tell(f"{literal(found.name)}: {literal(error.message)}", False)
                    st.rerun()
                _tell(f"{literal(found.name)} was deleted", True)
                go("experiments")
            if st.button("Keep", key="decline"):
                st.rerun()

    question()


def _tell(sentence: str, good: bool) -> None:
    st.session_state["entromask_told"] = [(sentence, good)]

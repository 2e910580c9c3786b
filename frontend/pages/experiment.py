"""One experiment, live: how its runs stand, what can be done, and its report so far."""

from __future__ import annotations

from itertools import islice

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from entromask.client import ApiError
from entromask.resources import OVER, Experiment
from frontend.parts.actions import tell
from frontend.parts.experiment.experiment_actions import actions
from frontend.parts.experiment.experiment_head import show_state
from frontend.parts.experiment.matrix import show_matrix, version_of
from frontend.parts.experiment.report import show_report
from frontend.parts.experiment.template import of_experiment
from frontend.parts.known import known
from frontend.routes import go, link
from frontend.session import client, guarded, literal

_EVERY = 3.0
_LAST = "experiment_last"


def page() -> None:
    """The experiment that the URL names, else the newest."""
    id_ = _asked()
    if id_ is None:
        newest = next(islice(client().list_experiments(), 1), None)
        if newest is None:
            st.title("Experiment")
            st.info("There is no experiment yet.")
            if st.button("New experiment", key="new", type="primary"):
                go("experiments", new="1")
            return
        id_ = newest.id
        st.query_params["id"] = id_
    try:
        found = client().get_experiment(id_)
    except ApiError as error:
        if error.status != 404:
            raise
        st.title("Experiment")
        st.warning(
            f"There is no experiment {literal(id_)}. It was deleted, or the address is incomplete."
        )
        link("All experiments", "experiments")
        return
    st.session_state[_LAST] = found.id
    place = head(found)
    live(found, place)
    report(found)
    text(found)


def _asked() -> str | None:
    """The id in the URL.

    On the way from here to a run Streamlit writes the run's id onto this page's address first, and
    the browser's way back comes through there: what was shown before is shown again.
    """
    id_: str | None = st.query_params.get("id") or None
    if id_ is not None and id_.startswith("run_"):
        id_ = st.session_state.get(_LAST, id_)
    return id_


def head(found: Experiment) -> DeltaGenerator:
    """What does not move by itself; returns the place for the state, which does."""
    st.title(literal(found.name), anchor=False)
    tell()
    if question := found.spec.get("description"):
        st.markdown(literal(str(question)).replace("\n", "  \n"))
    place = st.container()
    actions(found)
    if found.notes:
        st.markdown(literal(found.notes).replace("\n", "  \n"))
    if found.plan_notes:
        with st.container(border=True):
            st.markdown("**Said when it was planned**")
            st.markdown("\n".join(f"- {literal(note)}" for note in found.plan_notes))
    st.markdown("#### Runs")
    return place


def live(found: Experiment, place: DeltaGenerator) -> None:
    """What moves: the state and the matrix, until it is over."""
    going = found.status not in OVER
    given = [found]  # the first time, what the page has just read

    @st.fragment(run_every=_EVERY if going else None, key="experiment")
    def shown() -> None:
        with guarded():
            now = given.pop() if given else client().get_experiment(found.id) if going else found
            if version_of(now) != version_of(found):
                st.rerun()  # a run has ended: there is more to report
            with place:
                show_state(now)
            show_matrix(now)

    shown()


def report(found: Experiment) -> None:
    """The report of what is finished; in words where nothing is."""
    st.markdown("### Report")
    if not found.runs.get("succeeded"):
        st.info(
            "No run has succeeded: there is nothing to report."
            if found.status in OVER
            else "The report begins with the first run that succeeds, and grows with each."
        )
        return
    with guarded():
        with st.spinner("Reading the report"):
            summary = known(
                f"summary {found.id}", version_of(found), lambda: client().summary(found)
            )
        show_report(client(), found, summary)


def text(found: Experiment) -> None:
    """The experiment as it was asked for."""
    with st.expander("The text of this experiment"):
        st.code(of_experiment(found.spec), language="yaml", wrap_lines=True)


with guarded():
    page()

"""All experiments; and a new one: its text, its plan, and only then its runs."""

from __future__ import annotations

from itertools import islice

import streamlit as st

from entromask.errors import EntromaskError
from entromask.resources import OVER, Experiment, Run
from frontend.parts.actions import tell
from frontend.parts.experiment.board import Item, board
from frontend.parts.experiment.draft import ExperimentDraft, draft, put
from frontend.parts.experiment.experiment_head import over
from frontend.parts.experiment.plan_table import show_plan
from frontend.parts.experiment.submission import (
    ask_plan,
    beside,
    command_line,
    queue_button,
    show_problems,
)
from frontend.parts.experiment.template import of_experiment, with_base
from frontend.parts.words import ago
from frontend.parts.yaml_editor import yaml_editor
from frontend.routes import go
from frontend.session import client, guarded, literal, show

_PAGE = 50
_EVERY, _EVERY_QUIET = 3.0, 15.0
_LATEST = 100


def listed() -> None:
    """The list with its search; it moves while an experiment does."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        words = st.text_input(
            "Search",
            key="q",
            placeholder="words of name, notes or id",
            live="300ms",
            bind="query-params",
            width=300,
        )
        if st.button("New experiment", key="new", type="primary"):
            go("experiments", new="1")
    asked = words or None
    many = st.session_state.setdefault("experiments_shown", _PAGE)
    given = [_read(asked, many)]
    moving = _moves(given[0])

    @st.fragment(run_every=_EVERY if moving else _EVERY_QUIET, key="experiments")
    def shown() -> None:
        with guarded():
            found = given.pop() if given else _read(asked, many)
            if _moves(found) != moving:
                st.rerun()  # to be looked at more often, or less
            if not found:
                empty(asked)
                return
            board(
                "Experiments",
                ["Experiment", "Status", "Runs over", "Failed", "Made"],
                [row(one) for one in found[:many]],
                key="experiments_board",
                numbers=2,
            )
            if len(found) > many and st.button("Show more", key="more"):
                st.session_state["experiments_shown"] = many + _PAGE
                st.rerun()

    shown()


def _read(words: str | None, many: int) -> list[Experiment]:
    """One more than is shown, to know whether there are more."""
    return list(islice(client().list_experiments(q=words), many + 1))


def _moves(found: list[Experiment]) -> bool:
    return any(one.status not in OVER for one in found)


def row(found: Experiment) -> list[Item]:
    failed = found.runs.get("failed", 0)
    return [
        Item(found.name, title=found.id, page="experiment", id=found.id),
        Item(found.status, status=found.status),
        Item(
            f"{over(found.runs)} of {found.total}",
            fraction=None if found.status in OVER else found.fraction,
        ),
        Item(str(failed), status="failed") if failed else Item("0"),
        Item(ago(found.created_at)),
    ]


def empty(words: str | None) -> None:
    """What to do where there is nothing to list."""
    if words:
        st.info("No experiment holds these words.")
        return
    st.info(
        "No experiments yet. An experiment is methods x seeds: it shows whether a difference "
        "between methods is more than the luck of a seed."
    )
    st.code("entromask experiment experiment.yaml --plan", language="sh")


def new() -> None:
    """The text on the left, what the service makes of it on the right."""
    with guarded():  # an experiment or a run that is not there leaves the page usable
        begin()
    shown = draft()
    left, right = st.columns([1, 1], gap="large")
    with left:
        beginnings(shown)
        marks = [(line, text) for line, text in shown.problems() if line is not None]
        yaml_editor("experiment_editor", "The experiment", shown, marks, shown.typed)
        command_line(shown)
    with right, guarded():
        plan(shown)


def begin() -> None:
    """Takes over what the URL asks for, once: an experiment to clone, or a run for the base."""
    for name in ("clone", "base"):
        id_ = st.query_params.get(name)
        if not id_ or draft().origin == (name, id_):
            continue
        if name == "clone":
            text = of_experiment(client().get_experiment(id_).spec)
            put(ExperimentDraft(text=text, origin=(name, id_)))
        else:
            fresh = ExperimentDraft(origin=(name, id_))
            fresh.put(with_base(fresh.document, client().get_run(id_)))
            put(fresh)


def beginnings(shown: ExperimentDraft) -> None:
    """To the list, to the example, and the base from a run."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("All experiments", key="list"):
            go("experiments")
        if st.button("Start anew", key="anew", help="with the example; what is typed here is lost"):
            put(ExperimentDraft())
            go("experiments", new="1")
        way = st.popover("Base from a run", help="what a run was trained with, for all runs")
        with way, guarded():
            base_of(shown)
    if shown.origin is not None:
        kind = "Cloned from" if shown.origin[0] == "clone" else "With the base of"
        st.caption(f"{kind} {literal(shown.origin[1])}.")


def base_of(shown: ExperimentDraft) -> None:
    """Puts what a run was trained with into the text."""
    runs = client().runs_page(limit=_LATEST).data
    if not runs:
        st.caption("There is no run yet.")
        return
    run: Run | None = st.selectbox(
        "Run",
        runs,
        format_func=lambda run: f"{run.name} · seed {run.seed} · {run.status} · {run.id[-6:]}",
        key="base_run",
        width=380,
    )
    st.caption("Replaces the base of the text. Its masking stays out: that is for the methods.")
    if run is None:
        return
    if st.button("Take it as base", key="take_base", disabled=shown.fault is not None):
        shown.put(with_base(shown.document, run))
        st.rerun()
    if shown.fault is not None:
        st.caption("The text cannot be read as it is; mend it first.")


def plan(shown: ExperimentDraft) -> None:
    """The plan of the text as it is, and the way from there to its runs."""
    st.caption(
        "Nothing is queued before you have seen the plan: which runs there will be, which exist "
        "already, and what they cost."
    )
    if st.button(
        "Plan",
        key="plan",
        type="secondary" if shown.planned and shown.plan else "primary",
        disabled=shown.fault is not None,
    ):
        try:
            with st.spinner("Planning"):
                ask_plan(shown)
        except EntromaskError as error:
            show(error)
            return
        st.rerun()
    show_problems(shown)
    if shown.plan is None:
        return
    if not shown.planned:
        st.caption("The text has changed since it was planned. Plan it again to queue it.")
        return
    show_plan(shown.plan)
    beside(shown)
    queue_button(shown)


asked_for_new = any(name in st.query_params for name in ("new", "clone", "base"))
st.title("New experiment" if asked_for_new else "Experiments")
tell()
if asked_for_new:
    new()
else:
    with guarded():
        listed()

"""Plans a draft, and queues what was planned: once, however often the button is pressed."""

from __future__ import annotations

import json
import shlex
import uuid

import streamlit as st

from entromask.client import ApiError
from entromask.errors import EntromaskError
from entromask.resources import HIGHEST_PRIORITY, LOWEST_PRIORITY
from entromask.settings import settings
from frontend.parts.experiment.draft import ExperimentDraft
from frontend.parts.experiment.plan_table import counted
from frontend.parts.submit.spec_form import problem
from frontend.routes import go, link
from frontend.session import client, literal, show

_FAILED = "experiment_failed"


def ask_plan(shown: ExperimentDraft) -> None:
    """Asks the service what the text would become.

    Raises:
        EntromaskError: it does not answer, or refuses for another reason than the text.
    """
    try:
        shown.answered(client().plan_experiment(shown.document.data), None)
    except ApiError as error:
        if error.status != 422:
            raise
        shown.answered(None, error)


def show_problems(shown: ExperimentDraft) -> None:
    """What is wrong with the text as it is, and what to do."""
    found = shown.problems()
    for _, sentence in found:
        problem(sentence)
    if shown.fault is None and shown.planned and shown.refusal is not None:
        if not found:
            problem(shown.refusal.message)
        if shown.refusal.hint:
            st.caption(literal(f"What to do: {shown.refusal.hint}"))


def beside(shown: ExperimentDraft) -> None:
    """Notes and priority: they stand in no text."""
    left, right = st.columns([3, 1])
    with left:
        shown.notes = st.text_input("Notes", shown.notes, key=f"notes {shown.id}")
    with right:
        shown.priority = st.selectbox(
            "Priority",
            list(range(HIGHEST_PRIORITY, LOWEST_PRIORITY + 1)),
            index=shown.priority - HIGHEST_PRIORITY,
            key=f"priority {shown.id}",
            help="0 is served first, 9 last",
        )


def queue_button(shown: ExperimentDraft) -> None:
    """The button, and what became of it; only for what was planned exactly so."""
    plan = shown.plan
    if plan is None or not shown.planned:
        return
    key = shown.key()
    made = shown.made.get(key)
    word = f"Queue {counted(plan.new, 'run')}" if plan.new else "Make the report of these runs"
    if st.button(word, type="primary", key="queue", disabled=made is not None):
        _send(shown, key)
    failure = st.session_state.pop(_FAILED, None)
    if failure is not None:
        show(failure)
    if made is not None:
        st.caption("This very experiment has been made. Change something, or allow it once more.")
        if st.button("Allow it once more", key="queue_again"):
            shown.nonce = uuid.uuid4().hex
            st.rerun()
        link(f"{literal(made.name)}, {literal(made.id)}", "experiment", id=made.id)


def _send(shown: ExperimentDraft, key: str) -> None:
    try:
        made = client().create_experiment(
            shown.document.data,
            notes=shown.notes,
            priority=shown.priority,
            idempotency_key=key,
        )
    except EntromaskError as error:
        st.session_state[_FAILED] = error
        st.rerun()
    shown.made[key] = made
    st.session_state["entromask_told"] = [(f"{literal(made.name)} is queued", True)]
    go("experiment", id=made.id)


def command_line(shown: ExperimentDraft) -> None:
    """What one would type instead."""
    with st.expander("The same from the command line"):
        st.caption("experiment.yaml holds the text above.")
        st.download_button(
            "Download experiment.yaml",
            shown.text,
            "experiment.yaml",
            "application/yaml",
            on_click="ignore",
        )
        st.code(
            "entromask experiment experiment.yaml --plan\n"
            "entromask experiment experiment.yaml --follow",
            language="sh",
            wrap_lines=True,
        )
        body = {"spec": shown.document.data, "notes": shown.notes, "priority": shown.priority}
        st.code(
            f"curl {settings().api}/v1/experiments -H 'Content-Type: application/json' \\\n"
            f'  -H "Authorization: Bearer $ENTROMASK_API_KEY" \\\n'
            f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}",
            language="sh",
            wrap_lines=True,
        )

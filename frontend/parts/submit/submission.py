"""Sends the draft: one run for each seed, once, however often the button is pressed."""

from __future__ import annotations

import json
import shlex
import uuid

import streamlit as st

from entromask.errors import EntromaskError
from entromask.resources import HIGHEST_PRIORITY, LOWEST_PRIORITY
from entromask.settings import settings
from frontend.parts.submit.draft import Draft, draft, parse_seeds
from frontend.parts.submit.spec_form import PAUSE
from frontend.parts.value_fields import select_field, text_field
from frontend.routes import go, link
from frontend.session import client, literal, show

_FAILED = "submit_failed"


def beside_the_spec(shown: Draft) -> None:
    """Notes and priority: they belong to the runs and stand in no spec."""
    left, right = st.columns([3, 1])
    with left:
        text_field("submit.notes", "Notes", shown.notes, _take_notes, live=PAUSE)
    with right:
        select_field(
            "submit.priority",
            "Priority",
            list(range(HIGHEST_PRIORITY, LOWEST_PRIORITY + 1)),
            shown.priority,
            _take_priority,
            help="0 is served first, 9 last",
        )


def _take_notes(typed: str) -> None:
    draft().notes = typed
    draft().touched = True


def _take_priority(chosen: int) -> None:
    draft().priority = chosen
    draft().touched = True


def refusal(shown: Draft, problems: bool, known: bool) -> str | None:
    """Why the draft cannot be submitted now; None where it can.

    Args:
        problems: whether the service refuses the spec.
        known: whether the service has said what it thinks of the spec.
    """
    if shown.fault is not None:
        return "The YAML cannot be read; why stands above."
    numbers = parse_seeds(shown.seeds)
    if isinstance(numbers, str):
        return f"Pretraining seeds: {numbers}."
    if problems:
        return "The spec is refused; why stands above."
    return None if known else "The service has not checked the spec yet."


def submit_button(shown: Draft, reason: str | None) -> None:
    """The button, and what became of it."""
    count = len(shown.specs())
    made = shown.submitted()
    done = len(made) == count
    word = "Submit the run" if count == 1 else f"Submit {count} runs"
    if st.button(word, type="primary", key="submit", disabled=reason is not None or done):
        _send(shown)
    failure = st.session_state.pop(_FAILED, None)
    if failure is not None:
        show(failure)
        if made:
            st.caption(
                f"{len(made)} of {count} runs were submitted. Submit again to add the others."
            )
    if reason is not None:
        st.caption(literal(f"Cannot be submitted. {reason}"))
    elif done:
        st.caption("This very form has been submitted. Change something, or allow it once more.")
        if st.button("Allow it once more", key="submit_again"):
            shown.nonce = uuid.uuid4().hex
            st.rerun()
    for run in made:
        link(f"{literal(run.name)}, seed {run.seed}, {literal(run.id)}", "run", id=run.id)


def _send(shown: Draft) -> None:
    """A run for each seed, then to where they are."""
    runs = []
    for spec in shown.specs():
        key = shown.key(spec)
        try:
            run = shown.made.get(key) or client().create_run(
                spec, notes=shown.notes, priority=shown.priority, idempotency_key=key
            )
        except EntromaskError as error:
            st.session_state[_FAILED] = error
            st.rerun()
        shown.made[key] = run
        runs.append(run)
    st.session_state["entromask_told"] = [
        (f"{literal(run.name)} (seed {run.seed}) is submitted", True) for run in runs[:5]
    ]
    if len(runs) == 1:
        go("run", id=runs[0].id)
    go("runs", group=runs[0].group_hash)


def as_commands(shown: Draft) -> tuple[str, str]:
    """What one would type instead: with `entromask submit`, and with curl."""
    given = []
    if shown.notes:
        given.append(f"--notes {shlex.quote(shown.notes)}")
    if shown.priority != Draft.priority:
        given.append(f"--priority {shown.priority}")
    specs = shown.specs()
    if len(specs) == 1:
        command = " ".join(["entromask submit spec.yaml", *given])
    else:
        seeds = " ".join(str(spec.get("seed", 0)) for spec in specs)
        words = " ".join(["entromask submit spec.yaml --set seed=$seed", *given])
        command = f"for seed in {seeds}; do\n  {words}\ndone"
    calls = []
    for spec in specs[:1]:
        body = {"spec": spec, "notes": shown.notes, "priority": shown.priority}
        calls.append(
            f"curl {settings().api}/v1/runs -H 'Content-Type: application/json' \\\n"
            f'  -H "Authorization: Bearer $ENTROMASK_API_KEY" \\\n'
            f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}"
        )
    return command, calls[0]


def command_line(shown: Draft) -> None:
    with st.expander("The same from the command line"):
        command, call = as_commands(shown)
        st.caption("spec.yaml holds the text above.")
        st.download_button(
            "Download spec.yaml", shown.text, "spec.yaml", "application/yaml", on_click="ignore"
        )
        st.code(command, language="sh", wrap_lines=True)
        if len(shown.specs()) > 1:
            st.caption("The first of the runs through the API:")
        st.code(call, language="sh", wrap_lines=True)

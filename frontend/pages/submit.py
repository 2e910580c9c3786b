"""A new run: the choices that matter as a form, the whole spec as YAML beside it, in step."""

from __future__ import annotations

from typing import Any

import streamlit as st

from entromask.client import ApiError
from entromask.resources import ProblemEntry, Validation
from frontend.parts.submit import spec_basics as basics
from frontend.parts.submit.catalogue import Catalogue, known, listed
from frontend.parts.submit.draft import Draft, aside, bring_back, draft, put
from frontend.parts.submit.estimate import estimate
from frontend.parts.submit.miniature import SENTENCE, Ask, miniature
from frontend.parts.submit.spec_form import Form, path_of, problem
from frontend.parts.submit.spec_more import drawers, tags
from frontend.parts.submit.spec_short import shortened
from frontend.parts.submit.spec_text import dump
from frontend.parts.submit.submission import (
    beside_the_spec,
    command_line,
    refusal,
    submit_button,
)
from frontend.parts.value_fields import text_field
from frontend.parts.yaml_editor import yaml_editor
from frontend.routes import link
from frontend.session import client, guarded, literal

_SAMPLE = "sample_sentence"


def begin() -> None:
    """Takes over what the URL asks for, once: a run to clone, or a preset."""
    run_id, preset = st.query_params.get("clone"), st.query_params.get("preset")
    if run_id and draft().origin != ("clone", run_id):
        put(_clone(run_id))
    elif preset and not run_id and st.session_state.get("submit_preset") != preset:
        basics.choose_preset(preset)
    st.session_state["submit_preset"] = preset


def _clone(run_id: str) -> Draft:
    run = client().get_run(run_id)
    spec = shortened(run.spec) | ({"tags": run.tags} if run.tags else {})
    return Draft(
        text=dump(spec), seeds=str(run.seed), priority=run.priority, origin=("clone", run_id)
    )


def origin(shown: Draft) -> None:
    """Which run the form came from, and the way back to it as it is."""
    if shown.origin is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        words = "Cloned from" if not shown.touched else "Changed since it was cloned from"
        st.caption(words, width="content")
        link(literal(shown.origin[1]), "run", id=shown.origin[1])
        if shown.touched:
            st.button("Clone it again", key="clone_again", on_click=_clone_again)


def beginnings(shown: Draft) -> None:
    """To a new form, and back to the one that was left for it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("The whole spec as YAML, in step with the form.")
        st.button(
            "Start anew",
            key="anew",
            help="what is typed here is put aside",
            disabled=shown.origin is None and not shown.touched,
            on_click=_anew,
        )
        if aside() is not None:
            st.button(
                "Bring back",
                key="bring_back",
                help="the form that was put aside",
                on_click=_bring_back,
            )


def _clone_again() -> None:
    before = draft().origin
    if before is not None:
        st.query_params["clone"] = before[1]
        put(Draft())


def _anew() -> None:
    # Without the run in the URL, which would be cloned at once again.
    st.query_params.clear()
    put(Draft())


def _bring_back() -> None:
    st.query_params.clear()
    bring_back()


def check(shown: Draft) -> tuple[Validation | None, list[ProblemEntry]]:
    """What the service says about the spec.

    Raises:
        EntromaskError: it does not answer, or refuses for another reason than the spec.
    """
    try:
        return client().validate_run(shown.specs()[0]), []
    except ApiError as error:
        if error.status != 422:
            raise
        return None, error.errors or [ProblemEntry(pointer="/spec", detail=error.message)]


def picture(form: Form, lists: Catalogue) -> None:
    """The masks of the chosen preset on a sentence."""
    masking: dict[str, Any] = dict(form.resolved.get("masking") or {})
    preset = lists.strategy(form.draft.get("masking", "preset") or masking.get("preset"))
    if preset is None:
        return
    teacher = lists.model(form.draft.get("teacher"))
    model = teacher or (lists.models[0] if lists.models else None)
    if model is None:
        if lists.at:
            st.caption(
                "A picture of the masks on a sentence appears here when there is a first model: "
                "when a run has succeeded."
            )
        return
    source = preset.parts.get("source")
    if source == "teacher":
        role = "as if it were the teacher" if teacher is None else "the teacher"
        scored = f"Scored by {model.name}, {role}."
    elif source == "self":
        scored = f"Scored by {model.name}, as if it were the model in training."
    else:
        scored = f"With the tokens of {model.name}."
    rate = form.draft.get("masking", "rate")
    given = isinstance(rate, float) and 0 < rate < 1
    drawing = st.container()
    with st.popover("Another sentence", type="tertiary"):
        text = st.session_state.setdefault(_SAMPLE, SENTENCE)
        text_field("sample", "Sample sentence", text, _take_sample, lines=True)
    text = text.strip() or SENTENCE
    with drawing:
        miniature(Ask(text, model.reference, preset.name, rate if given else None), scored)


def _take_sample(typed: str) -> None:
    st.session_state[_SAMPLE] = typed


def problems(shown: Draft, errors: list[ProblemEntry]) -> list[tuple[int | None, str]]:
    """(line, sentence) of what is wrong with the text."""
    if shown.fault is not None:
        return [(shown.fault.line, str(shown.fault))]
    found = []
    for one in errors:
        path = path_of(one.pointer)
        line = shown.document.line(path or ())
        key = ".".join(map(str, path or ()))
        said = one.detail.startswith(key) or not key
        sentence = one.detail if said else f"{key}: {one.detail}"
        found.append((line, sentence if line is None else f"line {line}, {sentence}"))
    return found


def the_form(form: Form, lists: Catalogue) -> Any:
    """All fields; returns the place of the picture, which comes last: it may take its time."""
    basics.name(form)
    basics.corpus(form, lists)
    basics.model(form)
    place = basics.masking(form, lists)
    basics.teacher(form, lists)
    basics.tasks(form, lists)
    basics.seeds(form)
    return place


def page() -> None:
    lists, found, errors, answered = known(), None, list[ProblemEntry](), False
    with guarded():
        lists = listed()
        with guarded():  # a run to clone that is not there leaves the form usable
            begin()
        found, errors = check(draft())
        answered = True
    shown = draft()
    origin(shown)
    form = Form.of(shown, found.spec if found else {}, errors)
    cost = found.estimate.model_dump() if found else {}
    wrong = problems(shown, errors)
    left, right = st.columns([1, 1], gap="large")
    with left:
        place = the_form(form, lists)
        basics.budget(form, cost)
        drawers(form, lists)
        tags(form)
        beside_the_spec(shown)
    with right, st.container(key="beside"):
        beginnings(shown)
        marks = [(line, text) for line, text in wrong if line is not None]
        yaml_editor("yaml_editor", "The run", shown, marks, shown.typed)
        if shown.fault is not None:
            problem(wrong[0][1])
            st.caption(
                "The form shows the last text that could be read. What you change in it is added "
                "as soon as the text can be read again."
            )
        elif wrong:
            for _, text in wrong:
                problem(text)
        elif found is not None:
            estimate(found, len(shown.specs()))
        if shown.comments_lost:
            st.caption("The comments of the text are lost: the form had to write it anew.")
        submit_button(shown, refusal(shown, bool(wrong), answered))
        command_line(shown)
    with place:
        picture(form, lists)


st.title("Submit a run")
page()

"""The few choices that matter: text, model, masking, teacher, tasks, seeds, budget."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from entromask.presets import SIZES
from frontend.parts.submit.catalogue import Catalogue, reference_of
from frontend.parts.submit.corpus_upload import upload_box
from frontend.parts.submit.draft import draft, parse_seeds
from frontend.parts.submit.spec_fields import Field, field_of, fields
from frontend.parts.submit.spec_form import PAUSE, Form, problem
from frontend.parts.submit.spec_more import open_drawer
from frontend.parts.value_fields import multiselect_field, select_field, text_field
from frontend.session import literal

_SOURCES = {
    "builtin": "Built in: the documentation of Python",
    "upload": "Uploaded file",
    "local": "File or folder of the service's machine",
    "hub": "Hugging Face Hub",
}
_BUDGETS = {"steps": 600, "epochs": 1, "tokens": 10_000_000, "minutes": 10}
_RATE = "; or a schedule in braces, which “Masking in parts” writes"


def name(form: Form) -> None:
    form.text(field_of("name"), "Name")


def corpus(form: Form, known: Catalogue) -> None:
    """Where the text comes from, and the one thing that each source needs."""
    form.choice(
        field_of("corpus", "source"),
        "Corpus",
        options=list(_SOURCES),
        words=lambda source: _SOURCES.get(source, source),
        take=_take_source,
        required=True,
    )
    source = form.draft.get("corpus", "source") or "builtin"
    keys = {one.path[-1]: one for one in fields("corpus", form.draft.data)}
    if source == "local":
        form.text(keys["path"], "Path", placeholder="/data/corpus, with train.txt in it")
    elif source == "hub":
        left, right = st.columns(2)
        with left:
            form.text(keys["name"], "Data set", placeholder="Salesforce/wikitext")
        with right:
            form.text(keys["config"], "Configuration", placeholder="wikitext-103-raw-v1")
    elif source == "upload":
        names = {one.id: one.name for one in known.corpora}
        form.choice(
            keys["id"],
            "Uploaded corpus",
            options=list(names),
            words=lambda id_: f"{names[id_]}, …{id_[-6:]}" if id_ in names else id_,
        )
        upload_box()
    form.say(("corpus",), inside=False)


def _take_source(source: str | None) -> None:
    old = draft().get("corpus")
    stay = ("max_tokens",) if source == "builtin" else ("column", "max_tokens")
    kept = {key: old[key] for key in stay if isinstance(old, dict) and key in old}
    draft().set(("corpus",), {"source": source} | kept)


def model(form: Form) -> None:
    continued = isinstance(form.draft.get("model", "init"), dict)
    left, right = st.columns(2)
    with left:
        form.choice(field_of("model", "size"), "Model size", words=_shape, disabled=continued)
    with right:
        form.choice(field_of("model", "architecture"), disabled=continued)
    form.say(("model",), inside=False)
    if continued:
        st.caption("The model that this one continues from brings its own size and architecture.")


def _shape(size: str) -> str:
    found = SIZES.get(size)
    return f"{size}: {found.layers} layers x {found.width}" if found else size


def masking(form: Form, known: Catalogue) -> Any:
    """The preset and the rate; returns the place for a picture of the masks."""
    left, right = st.columns([2, 1])
    words = "a named composition; every part of it can be overridden under “Masking in parts”"
    with left:
        form.choice(
            Field(("masking", "preset"), "choice", None, words),
            "Masking preset",
            options=[one.name for one in known.strategies],
            take=choose_preset,
        )
    with right:
        rate = field_of("masking", "rate")
        form.text(replace(rate, help=rate.help + _RATE), "Masking rate")
    preset = known.strategy(form.resolved.get("masking", {}).get("preset"))
    chosen = form.draft.get("masking", "preset")
    preset = known.strategy(chosen) if chosen is not None else preset
    if preset is not None:
        st.caption(literal(preset.description))
    given = form.draft.get("masking")
    group = given if isinstance(given, dict) else {}
    own = sorted(set(group) - {"preset"} - (set() if _is_schedule(group) else {"rate"}))
    if own and chosen is not None:
        told = f"This spec overrides parts of the preset: {', '.join(own)}."
        st.caption(literal(f"{told} The picture is of the preset without that."))
    form.say(("masking",), inside=False)
    return st.container()


def _is_schedule(masking: dict[str, Any]) -> bool:
    return isinstance(masking.get("rate"), dict)


def choose_preset(preset: str | None) -> None:
    """Sets the preset; a name that was the old preset's follows."""
    old = draft().get("masking", "preset")
    named = draft().get("name")
    draft().set(("masking", "preset"), preset)
    if preset is not None and named in (None, old):
        draft().set(("name",), preset)


def teacher(form: Form, known: Catalogue) -> None:
    left, right = st.columns(2)
    with left:
        form.model(
            ("teacher",),
            known.references(),
            "Teacher",
            none="none",
            help="a pretrained masked language model, whose entropy the teacher-\\* presets use. "
            "A run that is still going may be chosen: the new run waits for it. A model that is "
            "not in the list can be typed: run:ID, run:ID@STEP, path:FOLDER or hub:NAME",
            take=lambda word: draft().set(("teacher",), reference_of(word) if word else None),
        )
    with right:
        distillation(form)


def distillation(form: Form) -> None:
    """On or off; how stands in a drawer of its own, which opens with it."""
    on = "from the teacher"
    form.select(
        "spec.distillation",
        "Distillation",
        [on],
        None if form.draft.get("distillation") is None else on,
        _take_distillation,
        none="none",
        help="the student also learns the teacher's predictions",
    )
    form.say(("distillation",), inside=False)


def _take_distillation(chosen: str | None) -> None:
    draft().set(("distillation",), None if chosen is None else {"weight": 0.5})
    open_drawer("distillation", chosen is not None)


def tasks(form: Form, known: Catalogue) -> None:
    given = form.draft.get("evaluation", "tasks")
    value = [str(one) for one in given] if isinstance(given, list) else []
    kinds = {task.name: task.kind for task in known.tasks}
    options = [*kinds, *(name for name in value if name not in kinds)]
    multiselect_field(
        "spec.evaluation.tasks",
        "Tasks",
        options,
        value,
        lambda chosen: draft().set(("evaluation", "tasks"), chosen or None),
        words=lambda name: f"{name} (demo)" if kinds.get(name) == "demo" else name,
        placeholder="none: the run ends with its validation loss",
        help="the pretrained model is fine-tuned on each of them. Demo tasks need no files and are "
        "never counted as GLUE",
    )
    form.say(("evaluation", "tasks"))
    form.say(("evaluation",), inside=False)


def seeds(form: Form) -> None:
    left, right = st.columns(2)
    with left:
        text_field(
            "submit.seeds",
            "Pretraining seeds",
            form.draft.seeds,
            lambda typed: draft().type_seeds(typed or ""),
            live=PAUSE,
            help="one run each: 0, 1, 2 are three runs of one method; 0-4 are five",
        )
        found = parse_seeds(form.draft.seeds)
        if isinstance(found, str):
            problem(found)
        form.say(("seed",))
    with right:
        form.text(field_of("evaluation", "seeds"), "Fine-tuning seeds")


def budget(form: Form, estimate: dict[str, Any]) -> None:
    """How long to pretrain; another unit takes over what is known of the old one."""
    given = form.draft.get("pretraining", "budget")
    group = given if isinstance(given, dict) else {}
    unit = next((key for key in _BUDGETS if group.get(key) is not None), None)
    unit = unit or next((key for key in _BUDGETS if key in group), "steps")
    left, right = st.columns(2)
    with right:
        select_field(
            "submit.budget",
            "Unit",
            list(_BUDGETS),
            unit,
            lambda chosen: _take_unit(chosen, estimate),
            help="optimizer steps, passes over the training rows, input tokens, or minutes of wall "
            "clock, which cannot be reproduced",
        )
    with left:
        form.text(field_of("pretraining", "budget", unit), "Budget")
    form.say(("pretraining", "budget"))
    form.say(("pretraining",), inside=False)


def _take_unit(unit: str, estimate: dict[str, Any]) -> None:
    amount: Any = estimate.get(unit) or _BUDGETS[unit]
    seconds = (estimate.get("stages") or {}).get("pretraining")
    if unit == "minutes" and seconds:
        amount = max(1, round(seconds / 60))
    draft().set(("pretraining", "budget"), {unit: amount})

"""Every other key of a spec, one click away: fields made from the schema, by group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import streamlit as st

from frontend.parts.submit.catalogue import Catalogue, reference_of
from frontend.parts.submit.draft import draft
from frontend.parts.submit.spec_fields import Field, field_of, fields, fields_of_kind
from frontend.parts.submit.spec_form import Form
from frontend.parts.submit.spec_text import Path
from frontend.parts.value_fields import expander_field


@dataclass(frozen=True)
class Drawer:
    """A part of the form that is closed at first.

    Args:
        groups: the groups of keys in it.
        elsewhere: keys among them that have a place of their own.
    """

    title: str
    groups: tuple[str, ...]
    elsewhere: tuple[Path, ...] = ()


DRAWERS: dict[str, Drawer] = {
    "masking": Drawer(
        "Masking in parts",
        ("masking",),
        (("masking", "preset"), ("masking", "rate")),
    ),
    "training": Drawer(
        "Training: batch, learning rate, precision",
        ("pretraining",),
        (("pretraining", "budget"),),
    ),
    "text": Drawer(
        "Text and tokenizer",
        ("corpus", "tokenizer"),
        tuple(("corpus", key) for key in ("source", "path", "id", "name", "config")),
    ),
    "model": Drawer(
        "Model: initial weights, dropout",
        ("model",),
        (("model", "size"), ("model", "architecture")),
    ),
    "evaluation": Drawer(
        "Evaluation: data, protocol",
        ("evaluation",),
        (("evaluation", "tasks"), ("evaluation", "seeds")),
    ),
    "distillation": Drawer("Distillation", ("distillation",)),
}
# What `model.init` may be beside a model to continue from.
INITS = {
    "teacher-complete": "every layer that fits, from evenly spaced layers of the teacher",
    "teacher-embeddings": "the teacher's embeddings alone",
}
_RATE = ("masking", "rate")
# What a schedule begins with: 30 to 15 %, arXiv:2305.15096.
_START, _END = 0.3, 0.15


def drawers(form: Form, known: Catalogue) -> None:
    """All drawers; one in which something is wrong opens."""
    for key, drawer in DRAWERS.items():
        if key == "distillation" and form.draft.get("distillation") is None:
            continue
        _drawer(form, key, drawer, known)


def _drawer(form: Form, key: str, drawer: Drawer, known: Catalogue) -> None:
    inside = [
        one
        for group in drawer.groups
        for one in fields(group, form.draft.data)
        if not any(one.path[: len(path)] == path for path in drawer.elsewhere)
    ]
    wrong = form.count([one.path for one in inside])
    state, seen = f"drawer.{key}", f"drawer.{key}.wrong"
    if wrong and not st.session_state.get(seen):
        open_drawer(key, True)
    st.session_state[seen] = wrong
    opened = bool(st.session_state.get(state))
    box = expander_field(state, drawer.title, opened, partial(open_drawer, key))
    if not box.open:
        return
    with box:
        columns = st.columns(2)
        for number, one in enumerate(inside):
            with columns[number % 2]:
                _field(form, one, known)
        if key == "masking":
            rate_schedule(form)
        form.say(*((group,) for group in drawer.groups))
        if any(one.kind != "choice" for one in inside):
            st.caption("A field that is empty leaves its key out: the default holds.")


def open_drawer(key: str, opened: bool) -> None:
    """Open or close a drawer of `DRAWERS`."""
    st.session_state[f"drawer.{key}"] = opened


def _field(form: Form, one: Field, known: Catalogue) -> None:
    label = one.label if len(one.path) < 3 else f"{one.path[-2]}: {one.path[-1]}".capitalize()
    if one.path == ("model", "init"):
        form.model(
            one.path,
            INITS | known.references(),
            "Initial weights",
            none="scratch",
            help="from scratch, from the teacher, or those of a model to continue from, which "
            "brings its own size and architecture. One that is not in the list can be typed: "
            "run:ID, run:ID@STEP, path:FOLDER, hub:NAME",
            take=_take_init,
        )
    elif one.path == ("tokenizer", "source"):
        form.choice(one, "Tokenizer", take=_take_tokenizer)
    elif one.kind == "choice":
        yes = {"true": "yes", "false": "no"}
        form.choice(one, label, words=lambda word: yes.get(word, word))
    else:
        form.text(one, label)


def _take_init(word: str | None) -> None:
    if word is None or word in INITS:
        draft().set(("model", "init"), word)
    else:
        # It brings its own shape; the API refuses another one beside it.
        draft().set(("model",), {"init": reference_of(word)})


def rate_schedule(form: Form) -> None:
    """Whether the masking rate changes over the run, and from where to where."""
    given = form.draft.get(*_RATE)
    group = given if isinstance(given, dict) else {}
    schedule, *parts = fields_of_kind(_RATE, "RateSchedule")
    columns = st.columns(4)
    with columns[0]:
        form.choice(schedule, "Rate over the run", take=_take_schedule, none="constant")
    for column, one in zip(columns[1:], parts, strict=True):
        if group and (one.path[-1] != "cycles" or group.get("schedule") == "cyclic"):
            with column:
                form.text(one, f"Rate: {one.path[-1]}")


def _take_schedule(schedule: str | None) -> None:
    given = draft().get(*_RATE)
    if schedule is None:
        draft().set(_RATE, None)
    elif isinstance(given, dict):
        draft().set(_RATE, given | {"schedule": schedule})
    else:
        draft().set(_RATE, {"schedule": schedule, "start": _START, "end": _END})


def _take_tokenizer(source: str | None) -> None:
    draft().set(("tokenizer",), None if source is None else {"source": source})


def tags(form: Form) -> None:
    """What goes with the runs: words to find them by, notes, and how soon they are served."""
    form.text(field_of("tags"), "Tags", placeholder="words with commas between them")

"""Which models and checkpoints a page looks at: chosen on the page, named in its URL.

`?model=run_a&model=run_b@600`, or `?models=run_a,run_b@600`: the part behind the @ is the step of
a checkpoint. Registered models are named by their id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import streamlit as st

from entromask.errors import EntromaskError
from entromask.resources import OVER, Run
from frontend.parts.value_fields import multiselect_field
from frontend.parts.words import ago
from frontend.routes import link
from frontend.session import client, guarded, literal

# Side by side more are not legible; the list of models ends somewhere, a URL may name any.
MOST = 6
_LISTED = 200
_RUNS = 100
# Two are compared where nothing else was asked for.
_AT_FIRST = 2
_KEY = "entropy_models"
_SEEN = "entropy_models_of_url"


@dataclass(frozen=True)
class Choice:
    """A model to look at. `id` is its name in URLs; `reference` the API's."""

    id: str
    name: str
    reference: Mapping[str, Any]


def choose() -> list[Choice]:
    """Shows the choice of models; returns what is chosen, or says what to do where nothing is."""
    known = {model.id: model for model in _listed()}
    _follow_url(list(known))
    chosen: list[str] = st.session_state.setdefault(_KEY, [])
    offered = known | {id_: _found(id_, known) for id_ in chosen if id_ not in known}
    labels = _labels(list(offered.values()))
    left, right = st.columns([6, 1], vertical_alignment="bottom")
    if offered:
        with left:
            multiselect_field(
                "models",
                "Models and checkpoints",
                list(offered),
                chosen,
                _take,
                words=lambda id_: labels.get(id_, id_),
                max_selections=MOST,
                select_all=False,
                placeholder="Choose the models that read the text",
                wrap=True,
            )
    if right.button(
        "Add a checkpoint", key="add_checkpoint", help="of any run, also while it runs"
    ):
        _checkpoint_dialog()
    if not offered:
        _empty()
        return []
    _write_url()
    if not st.session_state[_KEY]:
        st.info("Choose a model above; it reads the text.")
    return [
        Choice(id_, labels[id_], offered[id_].reference)
        for id_ in st.session_state[_KEY]
        if id_ in offered
    ]


def _listed() -> list[Choice]:
    models = islice(client().models(), _LISTED)
    return [Choice(model.id, model.name, model.reference) for model in models]


def _follow_url(known: Sequence[str]) -> None:
    """Takes over the URL's models where it has changed, and the newest where it never had any."""
    asked = [id_ for key in ("model", "models") for id_ in st.query_params.get_all(key)]
    ids = list(dict.fromkeys(id_.strip() for part in asked for id_ in part.split(",")))
    ids = [id_ for id_ in ids if id_][:MOST]
    if ids and ids != st.session_state.get(_SEEN):
        st.session_state[_KEY] = ids
    elif not st.session_state.get(_KEY) and _SEEN not in st.session_state:
        st.session_state[_KEY] = list(known[:_AT_FIRST])


def _write_url() -> None:
    ids = list(st.session_state[_KEY])
    st.query_params.pop("models", None)
    if st.query_params.get_all("model") != ids:
        st.query_params["model"] = ids
    st.session_state[_SEEN] = ids


def _take(ids: list[str]) -> None:
    st.session_state[_KEY] = list(ids)


def _add(id_: str) -> None:
    st.session_state[_KEY] = list(dict.fromkeys([*st.session_state[_KEY], id_]))


def _found(id_: str, known: Mapping[str, Choice]) -> Choice:
    """A model that is not among those listed: a checkpoint, or one of long ago."""
    run, _, step = id_.rpartition("@")
    if not re.fullmatch("[0-9]{1,12}", step) or not run:
        run, step = id_, ""
    if run in known:
        name = known[run].name
    else:
        try:
            name = client().get_run(run).name
        except EntromaskError:  # the preview says what is wrong with it
            name = run
    if step:
        return Choice(id_, f"{name}, step {int(step)}", {"run": run, "checkpoint": int(step)})
    return Choice(id_, name, {"run": run})


def _labels(choices: Sequence[Choice]) -> dict[str, str]:
    """What tells the models apart: their names, and the end of the id where names are the same."""
    names = [choice.name for choice in choices]
    labels = {}
    for choice in choices:
        end = choice.id.partition("@")[0][-6:]
        same = names.count(choice.name) > 1
        labels[choice.id] = f"{choice.name} ({end})" if same else choice.name
    return labels


def _empty() -> None:
    st.info(
        "There is no model to look at yet. Train one: the smallest takes a minute. A run that is "
        "still going can be looked at as soon as it has a checkpoint. A model that is already "
        "there, in a folder or on the Hub, can be registered."
    )
    link("Submit a run", "submit")
    st.code('from entromask import Client\nClient().register_model(path="FOLDER")', "python")


@st.dialog("Add a checkpoint")
def _checkpoint_dialog() -> None:
    """Asks for a run and one of its checkpoints; only then are runs and files listed."""
    with guarded():
        runs = [run for run in client().list_runs(limit=_RUNS) if run.status != "queued"]
        # Those that are going have no model yet: their checkpoints are all there is.
        runs.sort(key=lambda run: run.status in OVER)
        if not runs:
            st.info("No run has begun yet. A run writes checkpoints while it is pretrained.")
            return
        run = st.selectbox(
            "Run", runs, format_func=_run_label, key="checkpoint_run", filter_mode="contains"
        )
        steps = checkpoints(artifact.path for artifact in client().artifacts(run))
        if not steps:
            yet = "" if run.status in OVER else " yet"
            st.info(f"{literal(run.name)} has no checkpoint{yet}.")
            return
        step = st.selectbox(
            "Checkpoint",
            steps,
            format_func=lambda step: f"step {step:,}",
            key="checkpoint_step",
            help="a run keeps its last checkpoint and its best one",
        )
        full = len(st.session_state.get(_KEY, [])) >= MOST
        if full:
            st.caption(f"{MOST} models are shown at most: remove one first.")
        id_ = f"{run.id}@{step}"
        if st.button(
            "Add", type="primary", key="checkpoint_add", disabled=full, on_click=_add, args=(id_,)
        ):
            st.rerun()


def _run_label(run: Run) -> str:
    return f"{run.name} · {run.status} · {ago(run.created_at)} · {run.id[-6:]}"


def checkpoints(paths: Any) -> list[int]:
    """The steps of the checkpoints among the paths of a run's files, the latest first."""
    found = (re.fullmatch(r"checkpoints/step-(\d+)/model\.safetensors", path) for path in paths)
    return sorted({int(match[1]) for match in found if match}, reverse=True)

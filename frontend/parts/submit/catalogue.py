"""What a spec can choose from: presets, tasks, models and corpora, as the service lists them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import streamlit as st

from entromask.resources import Corpus, Model, Run, Strategy, Task
from frontend.session import client

_KEY = "submit_catalogue"
# New models and corpora come while the page is open.
_SECONDS = 20.0
_MOST = 200


@dataclass(frozen=True)
class Catalogue:
    """Empty where the service has not answered yet.

    Attributes:
        going: runs that will have a model when they succeed.
    """

    strategies: list[Strategy] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    models: list[Model] = field(default_factory=list)
    corpora: list[Corpus] = field(default_factory=list)
    going: list[Run] = field(default_factory=list)
    at: float = 0.0

    def strategy(self, name: Any) -> Strategy | None:
        return next((one for one in self.strategies if one.name == name), None)

    def model(self, reference: Any) -> Model | None:
        return next((one for one in self.models if one.reference == reference), None)

    def references(self) -> dict[str, str]:
        """The models that a spec may name, as words for a person by the word for a reference."""
        found = {
            word_of(model.reference): ", ".join(
                part for part in (model.name, model.architecture, _tail(model.id)) if part
            )
            for model in self.models
        }
        going = {
            word_of({"run": run.id}): f"{run.name}, still {run.status}, {_tail(run.id)}"
            for run in self.going
        }
        return going | found


def known() -> Catalogue:
    """What was listed last."""
    found: Catalogue | None = st.session_state.get(_KEY)
    return found if found is not None else Catalogue()


def forget() -> None:
    """Lists everything again the next time."""
    st.session_state.pop(_KEY, None)


def listed() -> Catalogue:
    """The lists, asked for again when they are old.

    Raises:
        EntromaskError: the service refuses, or does not answer.
    """
    old = known()
    if old.at and time.monotonic() - old.at < _SECONDS:
        return old
    api = client()
    fresh = Catalogue(
        strategies=old.strategies or api.strategies(),
        tasks=old.tasks or api.tasks(),
        models=list(islice(api.models(), _MOST)),
        corpora=list(islice(api.corpora(), _MOST)),
        going=[
            run
            for status in ("running", "queued")
            for run in api.list_runs(status=status, limit=_MOST)
        ],
        at=time.monotonic(),
    )
    st.session_state[_KEY] = fresh
    return fresh


def word_of(reference: Any) -> str:
    """`{run: ID}` is `run:ID`; a checkpoint's step or a revision follows an @."""
    if not isinstance(reference, Mapping):
        return str(reference)
    for kind, at in (("run", "checkpoint"), ("path", "revision"), ("hub", "revision")):
        if reference.get(kind) is not None:
            behind = reference.get(at)
            return f"{kind}:{reference[kind]}" + ("" if behind is None else f"@{behind}")
    return ", ".join(map(str, reference)) or "{}"


def reference_of(word: str) -> dict[str, Any]:
    """The model that a word names: `run:ID@STEP`, `path:FOLDER`, `hub:NAME@REVISION`."""
    kind, colon, rest = word.strip().partition(":")
    if not colon or kind not in ("run", "path", "hub"):
        rest = word.strip()
        kind = "run" if rest.startswith("run_") else "path" if rest[:1] in ("/", "~") else "hub"
    if kind == "hub":
        name, at, revision = rest.partition("@")
        return {"hub": name} | ({"revision": revision} if at else {})
    run, at, step = rest.rpartition("@")
    if kind == "run" and at and step.isdecimal():
        return {"run": run, "checkpoint": int(step)}
    return {kind: rest}


def _tail(id_: str) -> str:
    return f"…{id_[-6:]}" if len(id_) > 12 else id_

"""What is typed for a new experiment, in a browser session: its text, its plan, what it became."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field

import streamlit as st

from entromask.client import ApiError
from entromask.errors import EntromaskError
from entromask.resources import DEFAULT_PRIORITY, Experiment, ExperimentPlan
from frontend.parts.experiment.template import EXAMPLE
from frontend.parts.submit.spec_text import Document, Path, YamlError, read

_KEY = "experiment_draft"
# An experiment has a few hundred lines at most; more is a file of another kind.
_LONGEST = 200_000


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass
class ExperimentDraft:
    """An experiment in the making.

    Attributes:
        revision: counts the changes of the text that did not come from its editor.
        origin: what it began with, for example ("clone", "exp_…").
        document: the last text that could be read; `fault` says why the text cannot be.
        plan: what the service answered to `asked`, or the `refusal`.
        made: the experiments that were made of it, by the key of their submission.
    """

    text: str = EXAMPLE
    notes: str = ""
    priority: int = DEFAULT_PRIORITY
    origin: tuple[str, str] | None = None
    id: str = field(default_factory=_new_id)
    nonce: str = field(default_factory=_new_id)
    revision: int = 0
    fault: YamlError | None = None
    asked: str | None = None
    plan: ExperimentPlan | None = None
    refusal: EntromaskError | None = None
    made: dict[str, Experiment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.document: Document = Document("", {}, None)
        self._read()

    def typed(self, text: str, draft: str, _revision: int) -> None:
        """A change by the editor, which showed the draft with this id; what is typed wins."""
        if draft == self.id and text != self.text:
            self.text = text
            self._read()

    def put(self, text: str) -> None:
        """A change by anything else."""
        self.text = text
        self.revision += 1
        self._read()

    def _read(self) -> None:
        try:
            if len(self.text) > _LONGEST:
                raise YamlError(f"the text is longer than {_LONGEST:,} characters")
            self.document, self.fault = read(self.text), None
        except YamlError as fault:
            self.fault = fault

    @property
    def planned(self) -> bool:
        """Whether the service has answered to exactly this text."""
        return self.asked == self.text

    def answered(self, plan: ExperimentPlan | None, refusal: EntromaskError | None) -> None:
        """What the service says about the text as it is."""
        self.asked, self.plan, self.refusal = self.text, plan, refusal

    def key(self) -> str:
        """The same for two clicks on the same form, another one after any change of it."""
        parts = [self.nonce, self.text, self.notes, self.priority]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def problems(self) -> list[tuple[int | None, str]]:
        """(line, sentence) of what is wrong with the text as it is."""
        if self.fault is not None:
            return [(self.fault.line, str(self.fault))]
        if not self.planned or not isinstance(self.refusal, ApiError):
            return []
        found = []
        for entry in self.refusal.errors:
            path = _path_of(entry.pointer)
            key = ".".join(map(str, path))
            line = self.document.line(path)
            # A key's own sentence names it already; that of a method's run names it in the run.
            said = not key or entry.detail.startswith(key)
            sentence = entry.detail if said else f"{key}: {entry.detail}"
            found.append((line, sentence if line is None else f"line {line}, {sentence}"))
        return found


def _path_of(pointer: str) -> Path:
    """`/spec/methods/a~1b/seed` is `("methods", "a/b", "seed")`."""
    parts = pointer.lstrip("#").split("/")[1:]
    words = [part.replace("~1", "/").replace("~0", "~") for part in parts]
    if words[:1] == ["spec"]:
        words = words[1:]
    return tuple(int(word) if word.isdigit() else word for word in words)


def draft() -> ExperimentDraft:
    """The draft of this browser session."""
    found: ExperimentDraft | None = st.session_state.get(_KEY)
    return found if found is not None else put(ExperimentDraft())


def put(new: ExperimentDraft) -> ExperimentDraft:
    """Makes a draft the one of this browser session."""
    st.session_state[_KEY] = new
    return new

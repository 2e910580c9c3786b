"""The editor of a new experiment's text: the one of the Submit page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from frontend.parts.component import component
from frontend.parts.experiment.draft import ExperimentDraft, draft
from frontend.parts.submit import yaml_editor

_KEY = "experiment_editor"
_FILE = Path(yaml_editor.__file__)
_component = component("experiment_editor", _FILE.with_suffix(".css"), _FILE.with_suffix(".js"))


def editor(shown: ExperimentDraft, marks: Sequence[tuple[int, str]]) -> None:
    """Shows the draft's text; what is typed in it goes to the draft.

    Args:
        marks: (line from 1, sentence) of what is wrong.
    """
    _component(
        key=_KEY,
        data={
            "label": "The experiment",
            "text": shown.text,
            "draft": shown.id,
            "revision": shown.revision,
            "marks": [{"line": line, "sentence": sentence} for line, sentence in marks],
        },
        default={"typed": None},
        on_typed_change=_take,
    )


def _take() -> None:
    typed = st.session_state[_KEY]["typed"]
    if typed:
        draft().typed(str(typed["text"]), str(typed["draft"]))

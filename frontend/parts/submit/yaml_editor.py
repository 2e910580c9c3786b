"""An editor for YAML: takes over while one types, and marks the lines with something wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from frontend.parts.component import component
from frontend.parts.submit.draft import Draft, draft

_HERE = Path(__file__)
_KEY = "yaml_editor"
_component = component("yaml_editor", _HERE.with_suffix(".css"), _HERE.with_suffix(".js"))


def yaml_editor(shown: Draft, marks: Sequence[tuple[int, str]]) -> None:
    """Shows the draft's text; what is typed in it goes to the draft.

    Args:
        marks: (line from 1, sentence) of what is wrong.
    """
    _component(
        key=_KEY,
        data={
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
        draft().typed(str(typed["text"]), str(typed["draft"]), int(typed["revision"]))

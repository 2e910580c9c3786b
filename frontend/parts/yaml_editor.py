"""An editor for YAML: takes over while one types, and marks the lines with something wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import streamlit as st

from frontend.parts.component import component

_HERE = Path(__file__)
_component = component("yaml_editor", _HERE.with_suffix(".css"), _HERE.with_suffix(".js"))


class Edited(Protocol):
    """A text in the making; `revision` counts the changes that did not come from its editor."""

    id: str
    text: str
    revision: int


def yaml_editor(
    key: str,
    label: str,
    shown: Edited,
    marks: Sequence[tuple[int, str]],
    typed: Callable[[str, str, int], None],
) -> None:
    """Shows a draft's text.

    Args:
        label: whose YAML it is, for screen readers.
        marks: (line from 1, sentence) of what is wrong.
        typed: takes what is typed: the text, and the id and revision that it began with.
    """

    def take() -> None:
        found = st.session_state[key]["typed"]
        if found:
            typed(str(found["text"]), str(found["draft"]), int(found["revision"]))

    _component(
        key=key,
        data={
            "label": label,
            "text": shown.text,
            "draft": shown.id,
            "revision": shown.revision,
            "marks": [{"line": line, "sentence": sentence} for line, sentence in marks],
        },
        default={"typed": None},
        on_typed_change=take,
    )

"""Components of our own, from files: styles and scripts in the order given, behind one helper."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import streamlit as st
from streamlit.components.v2.types import ComponentRenderer

_HELPER = Path(__file__).with_name("element.js")


def component(name: str, *files: Path) -> ComponentRenderer:
    """What mounts the component; the last script exports its function.

    Args:
        name: unique in the dashboard.
        files: `.css` and `.js`.
    """
    return st.components.v2.component(
        f"entromask_{name}",
        css=_joined(file for file in files if file.suffix == ".css"),
        js=_joined([_HELPER, *(file for file in files if file.suffix == ".js")]),
    )


def _joined(files: Iterable[Path]) -> str:
    return "\n".join(file.read_text(encoding="utf-8") for file in files)

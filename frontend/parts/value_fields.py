"""Fields that show a value from elsewhere: from a text beside them, from the URL, from a session.

A field takes its value as its default, which is a part of the field and reaches the browser with
it. A value that is set through the session state is sent once: if the script runs again before the
browser has drawn the field, the value is lost, the field stays blank, and the browser's next
message brings the blank value as if a user had chosen it. When the value changes without the
browser, the field gets a new key, and what the browser reports under the old one is ignored. Each
field has a place of its own, in which style.css hides the old widget as soon as there is a new one:
Streamlit itself removes it only when the script has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import eq
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

_KEYS = "value_field_keys"
_BETWEEN = "#"
Take = Callable[[Any], None]


def text_field(
    name: str,
    label: str,
    value: str,
    take: Take,
    *,
    same: Callable[[Any, Any], bool] = eq,
    lines: bool = False,
    **options: Any,
) -> None:
    """Show a text.

    Args:
        name: unique on its page; the widget's key begins with it.
        take: is called with the text that a user has typed.
        same: whether the text in the browser (first) means the same as `value` (second).
        lines: show a text area in place of one line.
        options: of the Streamlit widget.
    """
    key = _key(name, value, same=same)
    place = _place(name, options)
    widget = place.text_area if lines else place.text_input
    widget(label, value, key=key, on_change=partial(_take, key, take), **options)


def select_field(
    name: str,
    label: str,
    choices: Sequence[Any],
    value: Any,
    take: Take,
    *,
    words: Callable[[Any], str] = str,
    **options: Any,
) -> None:
    """Show a drop-down that always holds one of its choices: neither Escape nor a cross empties it.

    Args:
        name, take, options: as those of `text_field`.
        value: one of the choices.
        words: how a choice is shown.
    """
    key = _key(name, value, shown=words(value))
    _place(name, options).selectbox(
        label,
        choices,
        index=list(choices).index(value),
        format_func=words,
        key=key,
        on_change=partial(_take, key, take),
        **options,
    )


def multiselect_field(
    name: str,
    label: str,
    choices: Sequence[Any],
    value: Sequence[Any],
    take: Take,
    *,
    words: Callable[[Any], str] = str,
    **options: Any,
) -> None:
    """Show a choice of any number.

    Args:
        name, take, options: as those of `text_field`.
        value: some of the choices, in the order of their choice.
        words: how a choice is shown.
    """
    key = _key(name, list(value), shown=[words(one) for one in value])
    _place(name, options).multiselect(
        label,
        choices,
        default=list(value),
        format_func=words,
        key=key,
        on_change=partial(_take, key, take),
        **options,
    )


def switch_field(
    name: str, label: str, choices: Sequence[str], value: str, take: Take, **options: Any
) -> None:
    """Show a few choices that are all in sight; the arguments are those of `select_field`."""
    key = _key(name, value)
    _place(name, options).segmented_control(
        label,
        choices,
        default=value,
        key=key,
        on_change=partial(_take, key, take),
        required=True,
        **options,
    )


def expander_field(name: str, label: str, opened: bool, take: Take) -> ExpanderContainer:
    """Show a part of the page that can be closed; `take` is called with whether it is open."""
    key = _key(name, opened)
    return st.expander(label, opened, key=key, on_change=partial(_take, key, take))


def name_of(key: str) -> str:
    """Return the name of the field that a widget's key was made for."""
    return key.partition(_BETWEEN)[0]


def _place(name: str, options: Mapping[str, Any]) -> DeltaGenerator:
    return st.container(key=f"field {name}", width=options.get("width", "stretch"))


def _take(key: str, take: Take) -> None:
    take(st.session_state[key])


def _key(name: str, value: Any, *, same: Callable[[Any, Any], bool] = eq, shown: Any = None) -> str:
    """Return the key of the widget that is there, or a new one where it does not fit any more.

    Args:
        shown: the words for the value: the browser reports a choice by its words.
    """
    keys: dict[str, tuple[int, Any]] = st.session_state.setdefault(_KEYS, {})
    number, shown_before = keys.get(name, (-1, None))
    key = f"{name}{_BETWEEN}{number}"
    held = key in st.session_state and same(st.session_state[key], value)
    if not held or shown != shown_before:
        keys[name] = (number + 1, shown)
        key = f"{name}{_BETWEEN}{number + 1}"
    return key

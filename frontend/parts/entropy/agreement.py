"""How far masking presets select the same tokens: a small matrix a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from frontend.parts.colours import heat


def agreement(models: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Show each pair of presets' overlap and its chance level, for each (label, agreement)."""
    shown = [(label, found) for label, found in models if len(found["presets"]) > 1]
    if shown:
        grids = "".join(_matrix(label, found) for label, found in shown)
        st.html(f"<div class='em-matrices'>{grids}</div>")


def _matrix(label: str, found: Mapping[str, Any]) -> str:
    # Names of presets are long: the columns have numbers, which the rows explain.
    names = found["presets"]
    head = "".join(
        f"<th scope='col' title='{escape(name)}'>{number}</th>"
        for number, name in enumerate(names, 1)
    )
    rows = "".join(
        f"<tr><th scope='row'>{number} {escape(names[number - 1])}</th>"
        f"{''.join(_cell(*pair, column == number) for column, pair in enumerate(pairs, 1))}</tr>"
        for number, pairs in enumerate(_pairs(found), 1)
    )
    return (
        f"<div class='em-table' tabindex='0'><table class='em-matrix'>"
        f"<caption>{escape(label)}</caption>"
        f"<thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _pairs(found: Mapping[str, Any]) -> list[list[tuple[float | None, float | None]]]:
    """Each row's (overlap, chance) pairs."""
    return [
        list(zip(overlap, chance, strict=True))
        for overlap, chance in zip(found["overlap"], found["chance"], strict=True)
    ]


def _cell(overlap: float | None, chance: float | None, itself: bool) -> str:
    if overlap is None or chance is None:
        return "<td class='number' title='no token can be masked'>-</td>"
    if itself:  # always 1: no colour for what says nothing
        return f"<td class='number'>{overlap:.2f}</td>"
    background, text = heat(overlap)
    return (
        f"<td class='number' style='background:{background};color:{text}'>"
        f"{overlap:.2f} <small>({chance:.2f})</small></td>"
    )

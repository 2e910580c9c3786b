"""A comparison as tables: quantities by method, and where the specs differ."""

from __future__ import annotations

import streamlit as st

from entromask.resources import Comparison
from frontend.parts.run.spec_diff import shown
from frontend.parts.tables import Cell, table
from frontend.parts.words import score
from frontend.session import literal

TITLES = {
    "Scores": "Scores (x 100)",
    "Validation": "Validation on the common random mask (losses in nats)",
    "Diagnostics": "Masks",
    "Cost": "Cost of pretraining",
}

Rows = list[list[str | Cell]]


def heads(found: Comparison) -> list[str | Cell]:
    """The names of the columns; a column of several runs says of how many seeds it is."""
    names: list[str | Cell] = []
    for place, column in enumerate(found.columns):
        notes = [f"{len(column.runs)} seeds"] if len(column.runs) > 1 else []
        notes += ["baseline"] if place == found.baseline else []
        names.append(Cell(column.label, below=", ".join(notes) or None))
    return names


def rows_of(found: Comparison) -> Rows:
    """The table's rows with their section titles, floors last where there are any."""
    floors = has_floors(found)
    rows: Rows = []
    section = ""
    for row in found.rows:
        if row.section != section:
            section = row.section
            rows.append([Cell(TITLES.get(section, section), section=True)])
        label = row.label if row.comparable else f"{row.label} (not comparable)"
        size = f"{row.size:,} examples" if row.size is not None else None
        cells: list[str | Cell] = [Cell(label, below=size)]
        for place, text in enumerate(row.shown):
            cells.append(Cell(text, strong=place == row.best, below=row.differences[place]))
        if floors:
            known = row.untrained
            cells.append(score(row.majority) if row.majority is not None else "")
            cells.append(_range(known.low, known.high) if known else "")
        rows.append(cells)
    return rows


def has_floors(found: Comparison) -> bool:
    return any(row.majority is not None or row.untrained is not None for row in found.rows)


def _range(low: float, high: float) -> str:
    return score(low) if score(low) == score(high) else f"{score(low)}–{score(high)}"


def show_table(found: Comparison) -> None:
    """What to know before, the table, and what the runs warn about."""
    if found.notes:
        with st.container(border=True):
            st.markdown("**Before you believe a difference**")
            st.markdown("\n".join(f"- {literal(note)}" for note in found.notes))
    parts = ["mean ± standard deviation"]
    if any(row.best is not None for row in found.rows):
        parts.append("bold: the best of a row that ranks")
    if found.baseline is not None:
        name = found.columns[found.baseline].label
        parts.append(f"second line: the difference to {name}, of costs the ratio")
    if has_floors(found):
        parts.append(
            "majority, untrained: what the majority class and models without pretraining reach"
        )
    sentence = "; ".join(parts)
    st.caption(literal(f"{sentence[0].upper()}{sentence[1:]}."))
    floors = ["majority", "untrained"] if has_floors(found) else []
    names = ["Quantity", *heads(found), *floors]
    table(names, rows_of(found), numbers=range(1, len(names)), wide=True)
    if found.warnings:
        st.markdown("#### What the runs warn about")
        st.warning("\n".join(f"- {literal(warning)}" for warning in found.warnings))


def show_differences(found: Comparison) -> None:
    """The keys of the specs that differ, and no others."""
    if len(found.columns) < 2:
        return
    st.markdown("#### Where the specs differ")
    if not found.differences:
        st.caption("Nowhere: the methods differ in nothing but names, tags and seeds.")
        return
    rows: list[list[str | Cell]] = [
        [one.key, *(Cell(shown(value), wraps=True) for value in one.values)]
        for one in found.differences
    ]
    table(["Key", *(column.label for column in found.columns)], rows, wide=True)

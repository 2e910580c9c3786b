"""A plan: which runs there would be, what they cost, what to know before they are queued."""

from __future__ import annotations

import streamlit as st

from entromask.resources import ExperimentPlan, PlannedCell
from frontend.parts.tables import Cell, table
from frontend.parts.words import amount, duration
from frontend.session import literal

_SEEDS = 6


def show_plan(plan: ExperimentPlan) -> None:
    """Counts and costs, the table of cells, the notes."""
    st.markdown("#### Plan")
    st.markdown(literal(counts(plan)))
    rows = rows_of(plan)
    table(rows[0], rows[1:], numbers=[2], wide=True)
    if plan.warnings:
        with st.container(border=True):
            st.markdown("**Before you queue them**")
            st.markdown("\n".join(f"- {literal(note)}" for note in plan.warnings))


def counts(plan: ExperimentPlan) -> str:
    """`12 runs, 10 of them to be done, in 40 jobs. 1.2e+14 FLOPs …`"""
    there = plan.total - plan.new
    words = [counted(plan.total, "run")]
    if not plan.new:
        words.append("all of them done already")
    else:
        words.append(f"{plan.new} of them to be done" if there else "all of them to be done")
        words.append(f"in {counted(plan.jobs, 'job')}")
    cost = []
    if plan.flops is not None and plan.new:
        cost.append(f"{plan.flops:.2e} FLOPs")
    if plan.tokens is not None and plan.new:
        cost.append(f"{amount(plan.tokens)} tokens")
    sentences = [", ".join(words)]
    if cost:
        sentences.append(f"Pretraining takes {' and '.join(cost)}")
    if plan.seconds is not None and plan.new:
        sentences.append(f"All of it takes about {duration(plan.seconds)} on one worker")
    elif plan.new:
        sentences.append("No earlier runs of these shapes tell how long it will take")
    return f"{'. '.join(sentences)}."


def rows_of(plan: ExperimentPlan) -> list[list[str | Cell]]:
    """The head, and a row for each cell; columns that would be empty are left out."""
    labels = {cell.key: cell.label for cell in plan.cells}
    several = sum(cell.role == "baseline" for cell in plan.cells) > 1
    columns: list[tuple[str, list[str | Cell]]] = [
        ("Method", [_name(cell) for cell in plan.cells]),
        ("Seeds", [seeds(cell) for cell in plan.cells]),
        ("FLOPs of a run", [flops(cell) for cell in plan.cells]),
        (
            "There already",
            [f"{c.reused} of {len(c.seeds)}" if c.reused else "" for c in plan.cells],
        ),
        ("Random at its compute", [labels.get(cell.matched or "", "") for cell in plan.cells]),
    ]
    if several:
        of = [labels.get(cell.baseline or "", "") for cell in plan.cells]
        columns.append(("Compared with", list(of)))
    told = [(head, cells) for head, cells in columns if any(cells)]
    return [[head for head, _ in told], *map(list, zip(*(cells for _, cells in told), strict=True))]


def _name(cell: PlannedCell) -> Cell:
    return Cell(cell.label, title=settings(cell.settings), below=cell.role)


def flops(cell: PlannedCell) -> str:
    """Of one pretraining."""
    if cell.flops is None:
        return "not known"
    return f"{cell.flops:.2e}" if cell.flops else "none"


def seeds(cell: PlannedCell) -> str:
    """`0, 1, 2`; of many the first few and their number."""
    shown = ", ".join(map(str, cell.seeds[:_SEEDS]))
    return shown if len(cell.seeds) <= _SEEDS else f"{shown}, … ({len(cell.seeds)})"


def settings(given: dict[str, object]) -> str | None:
    """The keys that a cell sets, for a pointer that rests on its name."""
    return ", ".join(f"{key}: {value}" for key, value in given.items()) or None


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

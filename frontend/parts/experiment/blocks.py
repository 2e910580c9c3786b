"""The tables of a report on a page: those of its Markdown, LaTeX and HTML, word for word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from entromask.resources import ExperimentSummary
from entromask.wire.summary import SummaryCell, SummaryResult
from frontend.parts.tables import Cell, table
from frontend.session import literal

if TYPE_CHECKING:
    from entromask.analysis.report.document import Block, Table

Rows = list[list[str | Cell]]

# The columns of the table of results before the first measure.
_BEFORE = 2


def show_results(summary: ExperimentSummary) -> None:
    """Methods x measures with floors, marks and relative costs; what its signs mean."""
    # Here, so that the dashboard starts without it.
    from entromask.analysis.report.document import Table
    from entromask.analysis.report.results_table import results_blocks

    for block in results_blocks(summary):
        if isinstance(block, Table):
            rows = _with_families(summary, _with_lines_below(summary, _cells(block)))
            _show_table(block.head, rows, block.left)
        else:
            _show_text(block)


def show_differences(summary: ExperimentSummary, measure: str) -> None:
    """The differences by one measure, to the baseline and at equal compute."""
    from entromask.analysis.report.difference_tables import compute_blocks, difference_blocks

    one = only(summary, measure)
    _show(difference_blocks(one), without="Measure")
    at_compute = compute_blocks(one)
    if at_compute:
        st.markdown("##### At equal compute")
        _show(at_compute, without="Measure")


def show_costs(summary: ExperimentSummary) -> None:
    """What pretraining cost."""
    from entromask.analysis.report.costs_table import cost_blocks

    blocks = cost_blocks(summary)
    if blocks:
        st.markdown("#### Cost of pretraining")
        st.caption("Means over the finished runs; ×: relative to the baseline.")
        _show(blocks)


def only(summary: ExperimentSummary, measure: str) -> ExperimentSummary:
    """A summary with a single one of its measures."""
    measures = [one for one in summary.measures if one.key == measure]
    return summary.model_copy(update={"measures": measures})


def _show(blocks: Sequence[Block], without: str | None = None) -> None:
    """Paragraphs, bullets and tables; tables without the column that is the same in all rows."""
    from entromask.analysis.report.document import Table

    for block in blocks:
        if not isinstance(block, Table):
            _show_text(block)
            continue
        kept = [place for place, word in enumerate(block.head) if word != without]
        left = sum(place < block.left for place in kept)
        rows: Rows = [[row[place] for place in kept] for row in _cells(block)]
        _show_table([block.head[place] for place in kept], rows, left)


def _show_text(block: Block) -> None:
    from entromask.analysis.report.document import Bullets, Paragraph

    if isinstance(block, Paragraph):
        st.caption(literal(block.text))
    elif isinstance(block, Bullets):
        st.caption("\n".join(f"- {literal(item)}" for item in block.items))


def _show_table(head: Sequence[str], rows: Rows, left: int) -> None:
    table(head, rows, numbers=range(left, len(head)), wide=True)


def _cells(block: Table) -> list[list[Cell]]:
    return [[Cell(cell.text, strong=cell.bold) for cell in row] for row in block.rows]


def _with_lines_below(summary: ExperimentSummary, rows: list[list[Cell]]) -> list[list[Cell]]:
    """Under a method's number, how many of its runs collapsed, or that no floor is below it."""
    shown = _shown(summary)
    for row, cell in zip(rows[-len(shown) :], shown, strict=True):
        results = {result.measure: result for result in cell.results}
        for column, measure in enumerate(summary.measures, _BEFORE):
            result = results.get(measure.key)
            if result is not None and cell.pretrained:
                row[column] = replace(row[column], below=_below(result))
    return rows


def _below(result: SummaryResult) -> str | None:
    if result.collapsed:
        return f"{result.collapsed} of {result.n} collapsed"
    return "not above floors" if result.above_floors is False else None


def _with_families(summary: ExperimentSummary, rows: list[list[Cell]]) -> Rows:
    """Where there are several baselines, a heading before the methods of another one."""
    shown = _shown(summary)
    labels = {cell.key: cell.label for cell in shown}
    homes = [cell.baseline or cell.key for cell in shown]
    if len(set(homes)) < 2:
        return [list(row) for row in rows]
    floors = len(rows) - len(shown)
    found: Rows = [list(row) for row in rows[:floors]]
    before = None
    for row, home in zip(rows[floors:], homes, strict=True):
        if home != before:
            found.append([Cell(f"Against {labels.get(home, home)}", section=True)])
        before = home
        found.append(list(row))
    return found


def _shown(summary: ExperimentSummary) -> list[SummaryCell]:
    """The last rows of the table of results: every cell that is no teacher, in order."""
    return [cell for cell in summary.cells if cell.role != "teacher"]

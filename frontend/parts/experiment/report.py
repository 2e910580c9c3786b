"""The report of an experiment: what is finished so far, with all that is to be known about it."""

from __future__ import annotations

from functools import partial
from typing import Literal

import streamlit as st

from entromask.client import Client
from entromask.resources import Experiment, ExperimentSummary
from entromask.wire.summary import SummaryCell
from frontend.parts.charts import Band, Line, curves, draw
from frontend.parts.experiment.blocks import show_costs, show_differences, show_results
from frontend.parts.experiment.forest import differences, show_forest
from frontend.parts.experiment.plan_table import counted
from frontend.session import literal

_Kind = Literal["md", "csv", "latex", "html", "json"]
_FILES: tuple[tuple[str, _Kind, str, str, str], ...] = (
    ("Markdown", "md", "md", "text/markdown", "the report in words and tables"),
    ("LaTeX", "latex", "tex", "application/x-latex", "a document that compiles as it stands"),
    ("HTML", "html", "html", "text/html", "one page with its charts, which loads nothing"),
    ("CSV", "csv", "csv", "text/csv", "raw numbers, a line for each method and measure"),
    ("JSON", "json", "json", "application/json", "everything, for programs"),
)
# Warnings that do not push the numbers out of sight.
_OPEN = 4
# Lines that can be told apart.
_LINES = 7


def show_report(api: Client, found: Experiment, summary: ExperimentSummary) -> None:
    """Notes first; then the table, the differences, the curves, the costs, the methods."""
    downloads(api, found)
    runs = summary.runs
    if runs.succeeded < runs.planned:
        st.info(
            f"Of {runs.succeeded} of {counted(runs.planned, 'run')}: "
            "every number below is of those that have succeeded so far."
        )
    if summary.notes:
        with st.container(border=True):
            st.markdown("**Before you believe a difference**")
            st.markdown("\n".join(f"- {literal(note)}" for note in summary.notes))
    if summary.warnings:
        many = len(summary.warnings)
        with st.expander(f"What the runs warn about ({many})", expanded=many <= _OPEN):
            st.warning("\n".join(f"- {literal(warning)}" for warning in summary.warnings))
    if summary.measures:
        st.markdown("#### Results")
        show_results(summary)
        show_measure(summary)
    else:
        st.info("The finished runs have measured nothing: no tasks, and no validation loss.")
    show_curves(summary)
    show_costs(summary)
    if summary.methods_paragraph:
        st.markdown("#### Methods")
        st.caption("A paragraph for a paper.")
        st.code(summary.methods_paragraph, language=None, wrap_lines=True)


def show_measure(summary: ExperimentSummary) -> None:
    """The differences by a measure that is chosen: as a plot and as a table."""
    st.markdown("#### Differences to the baseline")
    able = [one for one in summary.measures if differences(summary, one)]
    if not able:
        st.info(
            "None yet: a difference takes finished runs of a method and of its baseline, scored "
            "alike."
        )
        return
    by_key = {one.key: one for one in able}
    averages = [one.key for one in able if one.kind == "average"]
    key = st.selectbox(
        "Measure",
        list(by_key),
        index=list(by_key).index(averages[0]) if averages else 0,
        format_func=lambda key: by_key[key].label,
        key="measure",
        width=340,
    )
    show_forest(summary, by_key[key])
    show_differences(summary, key)
    if summary.power:
        st.markdown("##### Power")
        st.markdown(literal(summary.power))


def show_curves(summary: ExperimentSummary) -> None:
    """The losses on the common masks over steps, with the range over seeds."""
    st.markdown("#### Learning curves")
    cells = {cell.key: cell for cell in summary.cells if cell.curve}
    if not cells:
        st.info("No points yet: the curves are of losses on the common validation masks.")
        return
    chosen = list(cells)
    first = [cell.key for cell in cells.values() if cell.role != "teacher"][:_LINES]
    if len(cells) > len(first):
        chosen = st.multiselect(
            "Methods",
            list(cells),
            default=first,
            format_func=lambda key: cells[key].label,
            key="curves_of",
        )
    if not chosen:
        st.info("Choose a method to see its curve.")
        return
    drawn = [cells[key] for key in chosen]
    lines = [
        Line(name, [point.step for point in cell.curve], [point.mean for point in cell.curve])
        for name, cell in _named(drawn)
    ]
    bands = [
        Band(
            name,
            [point.step for point in cell.curve],
            [point.low for point in cell.curve],
            [point.high for point in cell.curve],
        )
        for name, cell in _named(drawn)
        if any(point.n > 1 for point in cell.curve)
    ]
    title = "Common validation loss"
    chart = curves(
        lines, title=title, x="step", y="nats, on the common random mask", bands=bands, height=360
    )
    draw(
        chart, "experiment_curves", f"{title} over steps: {', '.join(line.label for line in lines)}"
    )
    if bands:
        st.caption("A line is the mean over the seeds, the band reaches from lowest to highest.")


def _named(cells: list[SummaryCell]) -> list[tuple[str, SummaryCell]]:
    """Each cell with a name of its own."""
    labels = [cell.label for cell in cells]
    return [
        (cell.label if labels.count(cell.label) == 1 else f"{cell.label} ({cell.key})", cell)
        for cell in cells
    ]


def downloads(api: Client, found: Experiment) -> None:
    """The report as files; made when they are asked for."""
    with st.container(horizontal=True, vertical_alignment="center", key="downloads"):
        for label, kind, suffix, mime, help_ in _FILES:
            st.download_button(
                label,
                data=partial(_file, api, found, kind),
                file_name=f"{found.id}.{suffix}",
                mime=mime,
                help=help_,
                key=f"as {kind}",
                on_click="ignore",
            )


def _file(api: Client, found: Experiment, kind: _Kind) -> str:
    if kind == "json":
        return api.summary(found).model_dump_json(indent=2) + "\n"
    return api.summary(found, kind)

"""What a run will cost: tokens, steps, parameters, FLOPs and time, for each run and for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from entromask.resources import Estimate, Validation
from frontend.parts.tables import table
from frontend.parts.words import amount, duration
from frontend.session import literal


def estimate(found: Validation, runs: int) -> None:
    """Shows the estimate with what it rests on, and what is allowed and still worth knowing."""
    head = ["Estimate", "Each run", f"All {runs} runs"] if runs > 1 else ["Estimate", "This run"]
    lines = rows(found.estimate, runs)
    if lines:
        table(head, lines, numbers=range(1, len(head)))
    parts = [f"{stage} {duration(took)}" for stage, took in found.estimate.stages.items() if took]
    if parts:
        st.caption(literal(f"Time by stage: {', '.join(parts)}."))
    basis = found.estimate.basis
    st.caption(literal(f"{basis[:1].upper()}{basis[1:]}.".replace("..", ".")))
    if found.warnings:
        alone = ", about the first of the runs by itself" if runs > 1 else ""
        told = [f"- {literal(one[:1].upper() + one[1:])}" for one in found.warnings]
        st.caption("\n".join([f"**Worth knowing**{alone}", "", *told]))


def rows(cost: Estimate, runs: int) -> list[Sequence[str]]:
    """One row a figure that is known; the model is the same in all runs."""

    def exact(value: float) -> str:
        return f"{value:,}"

    figures: list[tuple[str, float | None, Callable[[float], str], bool]] = [
        ("Input tokens", cost.tokens, lambda value: amount(value, 3), True),
        ("Optimizer steps", cost.steps, exact, True),
        ("Parameters", cost.parameters, lambda value: amount(value, 3), False),
        ("FLOPs of pretraining", cost.flops, lambda value: f"{value:.2e}", True),
        ("Time on one worker", cost.seconds, lambda value: f"about {duration(value)}", True),
    ]
    lines: list[Sequence[str]] = []
    for name, value, style, grows in figures:
        if value is not None:
            all_runs = [style(value * runs if grows else value)] if runs > 1 else []
            lines.append([name, style(value), *all_runs])
    return lines

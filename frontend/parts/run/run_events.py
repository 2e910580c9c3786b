"""A run's events: as a table, as marks in the curves, and as evaluations that are done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st

from entromask.glue.tasks import TASKS
from entromask.resources import Event, Run
from frontend.parts.charts import Mark
from frontend.parts.tables import table
from frontend.parts.words import score

# The newest; more is for the API and for events.jsonl.
_SHOWN = 300
_CELL = re.compile(r"(?P<task>[^,]+)(?:, (?:fine-tuning seed (?P<seed>\d+)|without pretraining))?")
_TO_COME = "…"
# What the overview is about: a long run has thousands of other events.
TOLD = ("plateau", "result")


def marks_of(run: Run, results: Mapping[str, Any] | None, events: Iterable[Event]) -> list[Mark]:
    """Where the unigram plateau was left, and where the strategy began after a warm-up."""
    found = (results or {}).get("diagnostics") or {}
    left = found.get("plateau_exit_step")
    if left is None:
        left = next((event.step for event in events if event.type == "plateau"), None)
    start = found.get("strategy_start_step")
    together = (run.spec.get("masking") or {}).get("warmup") == "plateau" and start in (None, left)
    label = "plateau left, strategy begins" if together else "plateau left"
    marks = [] if left is None else [Mark(left, label)]
    if start and start != left:
        marks.append(Mark(start, "strategy begins"))
    return marks


def cells_of(run: Run, events: Iterable[Event]) -> tuple[list[str], list[list[str]], int, int]:
    """(head, rows, done, all): the evaluations of a run that is being evaluated, scores x 100."""
    evaluation = run.spec.get("evaluation") or {}
    seeds = [str(seed) for seed in evaluation.get("seeds") or []]
    columns = [*seeds, *(["floor"] if evaluation.get("floor") else [])]
    found: dict[tuple[str, str], str] = {}
    for event in events:
        match = _CELL.fullmatch(event.message or "") if event.type == "result" else None
        if match:
            values = [v for v in (event.metrics or {}).values() if isinstance(v, int | float)]
            mean = score(sum(values) / len(values)) if values else "done"
            floor = "untrained_floor" in (event.metrics or {})
            found[match["task"], "floor" if floor else match["seed"] or ""] = mean
    rows, total = [], 0
    for task in evaluation.get("tasks") or []:
        known = TASKS.get(task)
        zero_shot = known is not None and known.kind == "minimal-pairs"
        cells = []
        for position, column in enumerate(columns):
            if zero_shot and column != "floor":  # scored once, without fine-tuning
                key = (task, "") if position == 0 else None
            else:
                key = (task, column)
            total += key is not None
            cells.append("" if key is None else found.get(key, _TO_COME))
        rows.append([task, *cells])
    done = sum(cell not in ("", _TO_COME) for row in rows for cell in row[1:])
    heads = ["untrained" if column == "floor" else f"seed {column}" for column in columns]
    return ["Task", *heads], rows, done, total


def show_cells(run: Run, events: Iterable[Event]) -> None:
    """The evaluations done so far."""
    head, rows, done, total = cells_of(run, events)
    if not rows:
        return
    st.markdown("#### Scores so far")
    table(
        head,
        rows,
        numbers=range(1, len(head)),
        caption=f"{done} of {total} evaluations done; scores x 100, each a fine-tuning of its own.",
    )


def show_events(events: Sequence[Event]) -> None:
    """The newest events on top."""
    if not events:
        st.info("No events yet. The first one comes when a worker takes the run.")
        return
    rows = [event_row(event) for event in reversed(events[-_SHOWN:])]
    what = f"{len(events):,} events, the newest on top"
    if len(events) > _SHOWN:
        what += f"; the last {_SHOWN} are shown, all are in the file events.jsonl"
    table(["Time (UTC)", "Type", "Stage", "Step", "Message"], rows, numbers=[3], caption=what)


def event_row(event: Event) -> list[str]:
    """An event in words."""
    numbers = ", ".join(
        f"{key} = {value:.5g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in (event.metrics or {}).items()
    )
    return [
        event.time[:19].replace("T", " "),
        event.type,
        event.stage or "",
        f"{event.step:,}" if event.step is not None else "",
        ": ".join(part for part in (event.message, numbers) if part),
    ]

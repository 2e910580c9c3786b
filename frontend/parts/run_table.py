"""The table of runs: rows that stay selected while their numbers move, names that lead to pages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from entromask.resources import OVER, Run
from frontend.parts.component import component
from frontend.parts.words import ago, duration, score
from frontend.routes import go, url

_FILES = ("status.css", "run_table.css", "run_table.js")
_component = component("run_table", *map(Path(__file__).with_name, _FILES))
# Scores that a row has room for.
_SCORES = 4
_MEANS = {"glue8": "GLUE-8", "glue9": "GLUE-9"}
# Of whatever tasks a run has: in a list, between others, they would look like one quantity.
_OTHER_MEANS = ("available", "demo")


def run_table(runs: Sequence[Run], key: str) -> list[Run]:
    """Shows the runs; returns those that are selected. A run whose name is clicked is opened."""
    given = _component(
        key=key,
        data={"rows": [_row(run) for run in runs]},
        default={"selected": []},
        on_selected_change=_nothing,
        on_opened_change=_nothing,
    )
    if given.opened:
        go("run", id=str(given.opened))
    selected = set(given.selected or [])
    return [run for run in runs if run.id in selected]


def _nothing() -> None:
    """A state value wants a callback; the rerun itself is all that is asked."""


def _row(run: Run) -> dict[str, Any]:
    progress = run.progress
    return {
        "id": run.id,
        "href": url("run", id=run.id),
        "name": run.name,
        "seed": run.seed,
        "status": run.status,
        "why": run.error.message if run.error else None,
        "stage": run.stage if run.status not in (*OVER, "queued") else None,
        "fraction": progress.fraction if progress and run.status == "running" else None,
        "left": _left(run),
        "strategy": run.strategy or "",
        "scores": [f"{name} {score(value)}" for name, value in _scores(run)],
        "tags": run.tags,
        "warnings": len(run.warnings),
        "created": ago(run.created_at),
    }


def _left(run: Run) -> str:
    """The time left of a running stage, the time taken by a run that is over."""
    if run.status == "running" and run.progress and run.progress.eta_seconds is not None:
        return f"{duration(run.progress.eta_seconds)} left"
    if run.started_at is not None and run.finished_at is not None:
        return f"took {duration(run.finished_at - run.started_at)}"
    return ""


def _scores(run: Run) -> list[tuple[str, float]]:
    """The complete means of GLUE where there are, then the first few tasks."""
    means = [(name, run.scores[key]) for key, name in _MEANS.items() if key in run.scores]
    tasks = [item for item in run.scores.items() if item[0] not in (*_MEANS, *_OTHER_MEANS)]
    return (means + tasks)[:_SCORES]

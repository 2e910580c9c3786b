"""Several runs side by side: quantities as rows, methods (one run, or its seeds) as columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isclose
from typing import Any

from entromask.analysis.cautions import cautions, losses_differ, scores_differ
from entromask.analysis.runs import Run
from entromask.analysis.scores import score_rows
from entromask.analysis.table import Column, Comparison, Row, Unit, Value, entry, over_runs
from entromask.errors import InputError

_SEED_SUFFIX = re.compile(r"[-_ .](seed|s)?[-_ =]?\d+$")

# key in results.json, label, unit, higher is better (None: neither)
_LOSSES: tuple[tuple[str, str, Unit, bool | None], ...] = (
    ("loss", "loss", "nats", False),
    ("loss_bias_refit", "loss, bias refit", "nats", False),
    ("loss_frequent", "loss, 100 most frequent types", "nats", False),
    ("loss_rest", "loss, all other types", "nats", False),
    ("unigram_loss", "unigram loss", "nats", None),
    ("accuracy", "accuracy", "share", True),
)
_DIAGNOSTICS: tuple[tuple[str, str, Unit], ...] = (
    ("plateau_exit_step", "plateau left at step", "plain"),
    ("strategy_start_step", "strategy from step", "plain"),
    ("mask_repeat_rate", "mask-repeat rate", "share"),
    ("position_coverage", "position coverage", "share"),
    ("distinct_type_share", "distinct types", "share"),
    ("frequent_type_share", "100 most frequent types", "share"),
    ("tied_share", "selection decided by ties", "share"),
)
_COST: tuple[tuple[str, str, Unit], ...] = (
    ("tokens", "tokens", "count"),
    ("flops", "FLOPs", "flops"),
    ("seconds", "time", "seconds"),
    ("tokens_per_second", "tokens per second", "rate"),
    ("scoring_flops", "teacher scoring, FLOPs", "flops"),
    ("scoring_seconds", "teacher scoring, time", "seconds"),
)


def compare(runs: Sequence[Run], baseline: int | None = None, group: bool = True) -> Comparison:
    """A table of several runs; runs with one group hash share a column unless `group` is False.

    Args:
        baseline: position in `runs` of the run that the others are shown as differences from.

    Raises:
        InputError: no run, or a run given twice.
    """
    if not runs:
        raise InputError("no run to compare", "name at least one run's folder or id")
    folders = [run.folder.resolve() for run in runs if run.folder is not None]
    for folder in folders:
        if folders.count(folder) > 1:
            raise InputError(f"run {folder} is given twice", "name each run once")
    columns = _columns(runs, group)
    rows = [
        *(_marked(row) for row in score_rows(columns, not scores_differ(columns))),
        *(_marked(row) for row in _loss_rows(columns)),
        *_diagnostic_rows(columns),
        *_cost_rows(columns),
    ]
    home = None
    if baseline is not None:
        home = next(i for i, column in enumerate(columns) if runs[baseline] in column.runs)
    return Comparison(
        columns, tuple(rows), tuple(cautions(columns, rows)), tuple(_warnings(columns)), home
    )


def _columns(runs: Sequence[Run], group: bool) -> tuple[Column, ...]:
    groups: dict[str, list[Run]] = {}
    for position, run in enumerate(runs):
        groups.setdefault(run.group if group else str(position), []).append(run)
    labels = [_label(members) for members in groups.values()]
    for label in {label for label in labels if labels.count(label) > 1}:
        for position, members in enumerate(groups.values()):
            if labels[position] == label:
                folder = members[0].folder
                more = members[0].id or (folder.name if folder and folder.name != label else None)
                labels[position] = f"{label} ({more or position + 1})"
    return tuple(
        Column(label, tuple(members))
        for label, members in zip(labels, groups.values(), strict=True)
    )


def _label(members: Sequence[Run]) -> str:
    """The common name of the seeds of one method: `random-s0`, `random-s1` is `random`.

    It is one line that can be printed, whatever the names hold.
    """
    names = [_printable(run.name) for run in members]
    methods = {_SEED_SUFFIX.sub("", name) or name for name in names}
    return methods.pop() if len(methods) == 1 and len(set(names)) > 1 else names[0]


def _printable(name: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in name).split()) or "unnamed"


def _loss_rows(columns: Sequence[Column]) -> list[Row]:
    comparable = not losses_differ(columns)
    return [
        Row("Validation", key, label, unit, values, higher, comparable=comparable)
        for key, label, unit, higher in _LOSSES
        if any(values := tuple(over_runs(column, entry("validation", key)) for column in columns))
    ]


def _diagnostic_rows(columns: Sequence[Column]) -> list[Row]:
    rows = [
        Row("Diagnostics", key, label, unit, values)
        for key, label, unit in _DIAGNOSTICS
        if any(values := tuple(_diagnostic(column, key) for column in columns))
    ]
    collapsed = tuple(over_runs(column, _collapsed_tasks) for column in columns)
    if any(value is not None and value.mean for value in collapsed):
        rows.append(Row("Diagnostics", "collapsed_tasks", "collapsed tasks", "plain", collapsed))
    return rows


def _collapsed_tasks(run: Run) -> float | None:
    """How many; None of a run without scores."""
    collapsed = _diagnostics(run).get("collapsed_tasks")
    if collapsed is None or not run.results.get("tasks"):
        return None
    return float(len(collapsed))


def _diagnostics(run: Run) -> Mapping[str, Any]:
    return run.results.get("diagnostics") or {}


def _diagnostic(column: Column, key: str) -> Value | None:
    if key in ("plateau_exit_step", "strategy_start_step"):
        steps = [_diagnostics(run).get(key, 0) for run in column.runs]
        if never := steps.count(None):
            text = "never" if len(steps) == 1 else f"never in {never} of {len(steps)}"
            return Value(None, text=text)
    elif any(_diagnostics(run).get("strategy_start_step", 0) is None for run in column.runs):
        return None  # masks are counted from the strategy's first step, and there was none
    return over_runs(column, entry("diagnostics", key))


def _cost_rows(columns: Sequence[Column]) -> list[Row]:
    return [
        Row("Cost", key, label, unit, values)
        for key, label, unit in _COST
        if any(values := tuple(over_runs(column, entry("cost", key)) for column in columns))
    ]


def _marked(row: Row) -> Row:
    """The row with its single best column, where the row ranks and compares at least two."""
    sign = {True: 1.0, False: -1.0}.get(row.higher_is_better)  # type: ignore[arg-type]
    if sign is None or not row.comparable or len(row.means) < 2:
        return row
    if row.section == "Scores" and not row.ranks:
        return row
    top = max(sign * mean for _, mean in row.means)
    # Means of equal numbers differ in their last digits, by how many numbers there are.
    winners = [column for column, mean in row.means if isclose(sign * mean, top, abs_tol=1e-12)]
    return replace(row, best=winners[0]) if len(winners) == 1 else row


def _warnings(columns: Sequence[Column]) -> list[str]:
    """What the runs warn about, the same sentence once with the names of all that say it."""
    said: dict[str, list[str]] = {}
    for column in columns:
        for run in column.runs:
            for warning in run.results.get("warnings") or ():
                said.setdefault(warning, []).append(column.label)
    return [f"{', '.join(dict.fromkeys(names))}: {warning}" for warning, names in said.items()]

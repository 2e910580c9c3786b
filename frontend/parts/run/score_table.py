"""Task scores with their fine-tuning seeds, floors and means, as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entromask.glue.tasks import GLUE8, GLUE9
from frontend.parts.tables import Cell
from frontend.parts.words import score

METRICS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "f1_macro": "macro F1",
    "matthews_correlation": "Matthews correlation",
    "pearson": "Pearson correlation",
    "spearmanr": "Spearman correlation",
}
_NONE = "–"

Rows = list[list[str | Cell]]


@dataclass(frozen=True)
class Scores:
    """What `tables.table` takes."""

    head: list[str]
    rows: Rows
    numbers: list[int]


def scores_of(results: Mapping[str, Any]) -> Scores:
    """One row for each task and metric, then the means; scores x 100."""
    tasks: Mapping[str, Any] = results.get("tasks") or {}
    seeds = list(
        dict.fromkeys(
            seed
            for task in tasks.values()
            for metric in task.get("metrics", {}).values()
            for seed in metric.get("per_seed") or {}
        )
    )
    rows: Rows = []
    for name, task in tasks.items():
        rows += _task(name, task, seeds)
    means = _means(tasks, results.get("averages") or {}, len(seeds))
    if means:
        rows += [[Cell("Means", section=True)], *means]
    head = ["Task", "Metric", "mean ± sd", "majority", "untrained"]
    head += [*(f"seed {seed}" for seed in seeds), "examples", "Note"]
    numbers = list(range(2, len(head) - 1))
    if not any(row[-1] for row in rows if len(row) > 1):
        head = head[:-1]
        rows = [row[: len(head)] for row in rows]
    return Scores(head, rows, numbers)


def _task(name: str, task: Mapping[str, Any], seeds: Sequence[str]) -> Rows:
    metrics: Mapping[str, Any] = task.get("metrics") or {}
    size = task.get("rows")
    floors: list[str | Cell] = [
        score(task.get("majority_floor")),
        score(task.get("untrained_floor")),
    ]
    end = [f"{size:,}" if size is not None else _NONE, _note(task, seeds)]
    rows: Rows = []
    for position, (key, values) in enumerate(metrics.items()):
        first, label = name if position == 0 else "", METRICS.get(key, key)
        if len(metrics) == 1:
            rows.append(_row(first, label, values, seeds, floors, end))
        else:
            rows.append(_row(first, label, values, seeds, ["", ""], ["", ""]))
    if len(metrics) > 1:
        whole = {"mean": task.get("score"), **{k: task.get(k) for k in ("sd", "per_seed")}}
        rows.append(_row("", f"mean of these {len(metrics)}", whole, seeds, floors, end))
    return rows


def _row(
    name: str,
    label: str,
    values: Mapping[str, Any],
    seeds: Sequence[str],
    floors: list[str | Cell],
    end: list[str],
) -> list[str | Cell]:
    """What has floors is the task's score, and stands out."""
    each = values.get("per_seed") or {}
    text = spread(values.get("mean"), values.get("sd") if len(each) > 1 else None)
    mean = Cell(text, strong=any(floors))
    return [name, label, mean, *floors, *(score(each.get(seed)) for seed in seeds), *end]


def spread(mean: float | None, sd: float | None) -> str:
    """`56.1 ± 1.2`, scores x 100; without a spread the mean alone."""
    return score(mean) if mean is None or sd is None else f"{score(mean)} ± {score(sd)}"


def _note(task: Mapping[str, Any], seeds: Sequence[str]) -> str:
    """What makes a score worth nothing, in words."""
    of = max(1, len(task.get("per_seed") or seeds))
    if collapsed := task.get("collapsed"):
        return f"{collapsed} of {of} at or under the majority floor"
    mean, floor = task.get("score"), task.get("untrained_floor")
    if mean is not None and floor is not None and mean <= floor:
        return "not above the model without pretraining"
    return ""


def _means(tasks: Mapping[str, Any], averages: Mapping[str, Any], seeds: int) -> Rows:
    """The means there are. One of fewer tasks than its name promises says which ones it is of."""
    rows: Rows = []
    for key, label, names in (("glue8", "GLUE-8", GLUE8), ("glue9", "GLUE-9", GLUE9)):
        missing = [name for name in names if name not in tasks]
        if averages.get(key) is not None:
            rows.append(_mean(f"{label}, all {len(names)} tasks", averages[key], seeds))
        # Once, and not where somebody scored a single task.
        elif len(missing) < len(names) - 1 and (
            key == "glue8" or averages.get("glue8") is not None
        ):
            rows.append(_mean(label, None, seeds, f"no score for {', '.join(missing)}"))
    for key, label in (
        ("available", "GLUE, incomplete"),
        ("demo", "Demo tasks, not GLUE"),
        ("user", "Own tasks, not GLUE"),
    ):
        mean = averages.get(key) or {}
        of = mean.get("tasks") or []
        whole = key == "available" and averages.get("glue8") is not None
        if mean.get("value") is not None and len(of) > 1 and not whole:
            rows.append(_mean(f"{label}: {', '.join(of)}", mean["value"], seeds))
    return rows


def _mean(label: str, value: float | None, seeds: int, note: str = "") -> list[str | Cell]:
    return [label, "mean", Cell(score(value), strong=True), *[""] * (seeds + 3), note]

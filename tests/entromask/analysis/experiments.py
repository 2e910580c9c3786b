"""Experiments as run folders with known numbers, for the tests of what summarises them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from entromask.analysis.cells import CellRuns, SeedRun
from entromask.analysis.runs import read_run
from entromask.glue.cells import cell_file, write_cell
from entromask.glue.tasks import TASKS
from tests.entromask.analysis import build

ENVIRONMENT: dict[str, Any] = {
    "versions": {"python": "3.11.7", "entromask": "0.1.0", "torch": "2.13.0+cpu"},
    "hardware": {"processor": "AMD EPYC", "cores": 2, "threads": 1, "gpus": []},
    "commit": "9e76a0c4ffdee0314f3e45abc8693694ad1c18b5",
    "precision": "no",
    "corpus": {
        "name": "/data/corpora/imdb-unsup",
        "fingerprint": "cd97815ce4b4b62cd088384315b1a87a5c0cebcf",
    },
    "parameters": 1_559_872,
}
ROWS = 400
# By task, the score of each fine-tuning seed.
Tasks = Mapping[str, Sequence[float]]


def run_folder(
    folder: Path, seed: int, tasks: Tasks, spec: Mapping[str, Any] | None = None, **changes: Any
) -> Path:
    """A finished run: its spec, results, environment, and the answers of accuracy tasks.

    Args:
        spec: changes of the spec.
        changes: of single numbers of results.json.
    """
    evaluation = {"tasks": list(tasks), "seeds": [0, 1, 2], "source": {"local": ["glue"]}}
    given = dict(spec or {})
    given["evaluation"] = evaluation | given.get("evaluation", {})
    scores = {name: tuple(of_task) for name, of_task in tasks.items()}
    build.write(folder, f"run-s{seed}", scores, spec_changes={"seed": seed, **given}, **changes)
    (folder / "environment.json").write_text(json.dumps(ENVIRONMENT), encoding="utf-8")
    path = folder / "results.json"
    results = json.loads(path.read_text(encoding="utf-8"))
    results["cost"]["steps"] = given.get("pretraining", {}).get("budget", {}).get("steps", 1000)
    for name, result in results["tasks"].items():
        result["rows"] = ROWS
        metrics = TASKS[name].metrics
        result["metrics"] = dict.fromkeys(metrics, result["metrics"]["metric"])
        if metrics == ("accuracy",) and TASKS[name].evaluation == ("validation",):
            _write_answers(folder, name, tasks[name], seed)
    path.write_text(json.dumps(results), encoding="utf-8")
    return folder


def _write_answers(folder: Path, task: str, scores: Sequence[float], seed: int) -> None:
    """As many right answers as the score says, mostly on the same rows whatever the seeds."""
    # An odd step meets each of the rows once.
    order = [7 * i % ROWS for i in range(ROWS)] * 2
    for tuning, score in enumerate(scores):
        first = 6 * seed + 2 * tuning
        right = set(order[first : first + round(score * ROWS)])
        labels = [i % 2 for i in range(ROWS)]
        said = [label if i in right else 1 - label for i, label in enumerate(labels)]
        result: dict[str, Any] = {"score": score, "rows": ROWS}
        if task == "blimp":
            marks = "".join("1" if i in right else "0" for i in range(ROWS))
            write_cell(
                cell_file(folder / "evaluation", task, None), "x", {"outcomes": {"p": marks}}
            )
            return
        result["predictions"] = {"validation": [[float(not one), float(one)] for one in said]}
        result["references"] = {"validation": labels}
        write_cell(cell_file(folder / "evaluation", task, tuning), "x", result)


def seed_run(
    folder: Path,
    seed: int,
    tasks: Tasks,
    spec: Mapping[str, Any] | None = None,
    curve: Sequence[tuple[int, float]] = (),
    **changes: Any,
) -> SeedRun:
    run = read_run(str(run_folder(folder, seed, tasks, spec, **changes)))
    run = replace(run, id=f"run_{folder.name}")
    return SeedRun(seed, run.id, "succeeded", run, tuple(curve))


def cell(
    folder: Path,
    key: str,
    by_seed: Sequence[Tasks],
    *,
    label: str | None = None,
    role: Literal["baseline", "method", "control", "teacher"] = "method",
    baseline: str | None = "random",
    matched: str | None = None,
    spec: Mapping[str, Any] | None = None,
    more: Sequence[SeedRun] = (),
    **changes: Any,
) -> CellRuns:
    """A method whose seeds 0, 1, … scored `by_seed`; `more` are runs without results.

    A list among the `changes` holds one number for each seed.
    """
    if role in ("baseline", "teacher"):
        baseline = None
    runs = []
    for seed, tasks in enumerate(by_seed):
        own = {name: x[seed] if isinstance(x, list) else x for name, x in changes.items()}
        loss = own.get("loss", 4.94)
        curve = tuple((step, loss + 2.0 * (1000 - step) / 1000) for step in range(100, 1001, 100))
        runs.append(seed_run(folder / f"{key}-{seed}", seed, tasks, spec, curve, **own))
    return CellRuns(key, label or key, role, dict(spec or {}), baseline, matched, (*runs, *more))


def tuned(score: float) -> tuple[float, float, float]:
    """Three fine-tuning seeds around a score."""
    return (score - 0.01, score, score + 0.01)

"""Runs as they look once finished, for the tests of what reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from entromask.analysis.runs import Run
from entromask.spec import RunSpec

UNTRAINED = {"rte": 0.530, "cola": 0.0, "sst2": 0.60, "mrpc": 0.748, "stsb": 0.08, "blimp": 0.51}
MAJORITY = {"rte": 0.527, "cola": 0.0, "sst2": 0.509, "mrpc": 0.748, "stsb": 0.0, "blimp": 0.5}


def spec(name: str = "random", **changes: Any) -> RunSpec:
    data: dict[str, Any] = {
        "name": name,
        "masking": {"preset": "random"},
        "pretraining": {"budget": {"steps": 1000}},
        "evaluation": {"tasks": ["rte", "cola"], "seeds": [0, 1, 2], "source": {"local": ["glue"]}},
    }
    return RunSpec.parse(data | changes).resolved()


def task(name: str, *scores: float, floor: float | None = None) -> dict[str, Any]:
    """A task with one metric and one score for each fine-tuning seed."""
    mean = sum(scores) / len(scores)
    return {
        "score": mean,
        "metrics": {"metric": {"mean": mean, "sd": 0.0, "per_seed": dict(zip("0123", scores))}},  # noqa: B905
        "rows": 277,
        "majority_floor": MAJORITY.get(name),
        "untrained_floor": UNTRAINED.get(name) if floor is None else floor,
    }


def results(tasks: dict[str, tuple[float, ...]] | None = None, **changes: Any) -> dict[str, Any]:
    """A results.json; `changes` are of single numbers, wherever they stand."""
    data: dict[str, Any] = {
        "seed": 0,
        "validation": {
            "loss": 4.94,
            "accuracy": 0.239,
            "loss_bias_refit": 4.95,
            "loss_frequent": 2.72,
            "loss_rest": 7.44,
            "unigram_loss": 6.71,
        },
        "tasks": {name: task(name, *scores) for name, scores in (tasks or {}).items()},
        "averages": {"glue8": None, "glue9": None, "available": None},
        "diagnostics": {
            "plateau_exit_step": 420,
            "strategy_start_step": 0,
            "mask_repeat_rate": 0.15,
            "position_coverage": 0.39,
            "distinct_type_share": 0.98,
            "frequent_type_share": 0.53,
            "collapsed_tasks": [],
        },
        "cost": {"tokens": 12e6, "flops": 1.2e14, "seconds": 310.2, "tokens_per_second": 38700.0},
        "warnings": [],
    }
    for key, value in changes.items():
        part = next(
            (part for part in data.values() if isinstance(part, dict) and key in part), data
        )
        part[key] = value
    return data


def run(name: str, tasks: dict[str, tuple[float, ...]] | None = None, **changes: Any) -> Run:
    """A run of its own group, unless `group_hash` says otherwise; `spec_changes` go to the spec."""
    described = spec(name, **changes.pop("spec_changes", {}))
    return Run(name, described, results(tasks, **({"group_hash": name} | changes)))


def write(folder: Path, name: str, tasks: dict[str, tuple[float, ...]], **changes: Any) -> Path:
    """The same as files: a run folder."""
    built = run(name, tasks, **changes)
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(built.spec.to_yaml(), encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(built.results), encoding="utf-8")
    return folder

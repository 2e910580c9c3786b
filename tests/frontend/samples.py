"""What runs bring forth, as the API shows it: results, histories, events, comparisons."""

from __future__ import annotations

from typing import Any

from entromask.resources import (
    Comparison,
    Event,
    Experiment,
    ExperimentPlan,
    ExperimentSummary,
    MetricHistory,
    Run,
)


def results(**changes: Any) -> dict[str, Any]:
    """The results of a run with a task of one metric and one of two."""
    return {
        "validation": {
            "loss": 4.874,
            "loss_bias_refit": 4.739,
            "unigram_loss": 6.169,
            "accuracy": 0.2115,
        },
        "tasks": {
            "rte": task({"accuracy": [0.56, 0.58]}, rows=277, majority=0.527, untrained=0.53),
            "mrpc": task({"accuracy": [0.70, 0.72], "f1": [0.80, 0.82]}, rows=408, majority=0.748),
        },
        "averages": {
            "glue8": None,
            "glue9": None,
            "available": {"tasks": ["rte", "mrpc"], "value": 0.665},
            "demo": {"tasks": [], "value": None},
        },
        "diagnostics": {
            "plateau_exit_step": 420,
            "strategy_start_step": 420,
            "mask_repeat_rate": 0.2027,
            "collapsed_tasks": [],
            "top_masked_types": {"the": 0.0169, "*": 0.0084},
        },
        "cost": {"tokens": 1_228_800, "flops": 3.53e12, "seconds": 69.2},
    } | changes


def task(
    metrics: dict[str, list[float]],
    rows: int,
    majority: float,
    untrained: float | None = None,
    collapsed: int = 0,
) -> dict[str, Any]:
    """A task's entry in results.json, its metrics by fine-tuning seed."""

    def spread(values: list[float]) -> dict[str, Any]:
        mean = sum(values) / len(values)
        sd = (sum((v - mean) ** 2 for v in values) / max(1, len(values) - 1)) ** 0.5
        return {"mean": mean, "sd": sd, "per_seed": {str(i): v for i, v in enumerate(values)}}

    scores = [sum(at) / len(at) for at in zip(*metrics.values(), strict=True)]
    whole = spread(scores)
    found = {
        "score": whole["mean"],
        "sd": whole["sd"],
        "per_seed": whole["per_seed"],
        "metrics": {name: spread(values) for name, values in metrics.items()},
        "rows": rows,
        "majority_floor": majority,
        "collapsed": collapsed,
    }
    return found if untrained is None else found | {"untrained_floor": untrained}


def history(run: str = "run_1", points: int | None = None, **series: Any) -> MetricHistory:
    """A history; each series is `{step: value}`."""
    return MetricHistory.model_validate(
        {
            "run": run,
            "series": {
                key: {
                    "steps": list(values),
                    "values": list(values.values()),
                    "points": points or len(values),
                }
                for key, values in series.items()
            },
        }
    )


def event(seq: int, type_: str, message: str | None = None, **more: Any) -> Event:
    data = {"seq": seq, "time": f"2026-01-01T00:00:{seq % 60:02d}.123+00:00", "type": type_}
    return Event.model_validate(data | {"message": message} | more)


def comparison(*columns: list[Run], **changes: Any) -> Comparison:
    """A comparison of these columns of runs, the last one ahead in the one task."""
    width = len(columns)
    data: dict[str, Any] = {
        "columns": [
            {
                "label": runs[0].name,
                "group_hash": runs[0].group_hash,
                "runs": [
                    {"id": r.id, "name": r.name, "seed": r.seed, "strategy": r.strategy}
                    for r in runs
                ],
            }
            for runs in columns
        ],
        "rows": [
            {
                "section": "Scores",
                "key": "rte",
                "label": "rte",
                "unit": "score",
                "higher_is_better": True,
                "comparable": True,
                "best": width - 1,
                "majority": 0.527,
                "untrained": {"low": 0.51, "high": 0.53},
                "size": 277,
                "values": [{"mean": 0.56 + i / 100, "sd": 0.012} for i in range(width)],
                "shown": [f"{56 + i}.0 ± 1.2" for i in range(width)],
                "differences": [None, *(f"+{i}.0 ± 1.7" for i in range(1, width))],
            },
            {
                "section": "Cost",
                "key": "tokens",
                "label": "tokens",
                "unit": "count",
                "comparable": True,
                "values": [{"mean": 1.2e6}] * width,
                "shown": ["1.2 M"] * width,
                "differences": [None] * width,
            },
        ],
        "baseline": None,
        "notes": ["Run at least 3 seeds before believing a *difference*."],
        "warnings": [],
        "differences": [{"key": "masking.preset", "values": [r[0].strategy for r in columns]}],
    }
    return Comparison.model_validate(data | changes)


def plan(**changes: Any) -> ExperimentPlan:
    """A plan of two methods with a control at the compute of one, two seeds of each."""
    cells = [
        planned("random", "baseline", reused=1, flops=1.2e11),
        planned("random, 1.46 x budget", "control", baseline="random", flops=1.8e11),
        planned("self", "method", baseline="random", matched="random, 1.46 x budget", flops=1.8e11),
    ]
    data = {
        "name": "e",
        "cells": cells,
        "total": 6,
        "new": 5,
        "jobs": 20,
        "tokens": 500_000,
        "flops": 8.4e11,
        "seconds": 90.0,
        "warnings": ["2 of at least 3 *seeds*"],
    }
    return ExperimentPlan.model_validate(data | changes)


def planned(label: str, role: str, **changes: Any) -> dict[str, Any]:
    """A cell of a plan; its key is its label."""
    cell = {"key": label, "label": label, "role": role, "settings": {}, "seeds": [0, 1]}
    return cell | {"reused": 0} | changes


def summary(found: Experiment, **changes: Any) -> ExperimentSummary:
    """The report on an experiment: by cell, scores of `rte` that rise, and losses that fall.

    Two seeds have intervals and tests, one has none. A control's differences are at equal steps;
    a method's last one is also at equal compute, to the control, where there is one.
    """
    cells = []
    control = next((cell.key for cell in found.cells if cell.role == "control"), None)
    for place, cell in enumerate(found.cells):
        done = [run.seed for run in cell.runs if run.status == "succeeded"]
        results = []
        if done and cell.role != "teacher":
            results = [
                _result("rte", 0.55 + 0.02 * place, done, 0.01),
                _result("loss", 5.0 - 0.1 * place, done, 0.05),
            ]
        if done and cell.baseline:
            for result, size in zip(results, (0.02 * place, -0.1 * place), strict=True):
                result["differences"] = [_difference(cell.baseline, "steps", size, len(done))]
                if cell.role == "method" and control:
                    result["differences"].append(_difference(control, "compute", size, len(done)))
        cells.append(
            {
                **cell.model_dump(include={"key", "label", "role", "settings", "baseline"}),
                "pretrained": cell.label != "no pretraining",
                "runs": [run.model_dump(include={"id", "seed", "status"}) for run in cell.runs],
                "results": results,
                "cost": {"flops": 1e11, "seconds": 10.0, "relative": {"flops": 1.0 + 0.5 * place}}
                if done
                else None,
                "curve": [
                    {"step": step, "n": len(done), "mean": loss, "low": loss - 0.1, "high": loss}
                    for step, loss in ((20, 6.0), (40, 5.0 - 0.1 * place))
                    if done
                ],
            }
        )
    counts = {status: found.runs.get(status, 0) for status in ("succeeded", "failed", "cancelled")}
    data: dict[str, Any] = {
        "id": found.id,
        "name": found.name,
        "status": found.status,
        "created_at": found.created_at,
        "tests": 4,
        "runs": counts | {"planned": found.total, "unfinished": found.total - sum(counts.values())},
        "measures": [
            {
                "key": "rte",
                "label": "RTE",
                "kind": "task",
                "unit": "score",
                "higher_is_better": True,
                "tasks": ["rte"],
                "rows": 277,
                "majority": 0.527,
                "untrained": {"low": 0.51, "high": 0.53},
            },
            {
                "key": "loss",
                "label": "validation loss",
                "kind": "loss",
                "unit": "nats",
                "higher_is_better": False,
                "tasks": [],
            },
        ],
        "cells": cells,
        "power": "RTE takes 12 seeds.",
        "methods_paragraph": "We trained two methods with <two> seeds.",
        "notes": ["Run at least 3 seeds before believing a *difference*."],
        "warnings": ["self: the masks <b>repeat</b>"],
    }
    return ExperimentSummary.model_validate(data | changes)


def _result(measure: str, mean: float, seeds: list[int], half: float) -> dict[str, Any]:
    several = len(seeds) > 1
    return {
        "measure": measure,
        "n": len(seeds),
        "mean": mean,
        "sd": half / 2 if several else None,
        "median": mean,
        "low": mean - half if several else None,
        "high": mean + half if several else None,
        "per_seed": {str(seed): mean for seed in seeds},
    }


def _difference(to: str, at: str, mean: float, n: int) -> dict[str, Any]:
    several = n > 1
    return {
        "to": to,
        "at": at,
        "n": n,
        "paired": True,
        "mean": mean,
        "low": mean - 0.015 if several else None,
        "high": mean + 0.015 if several else None,
        "p": 0.01 if several else None,
        "p_holm": 0.03 if several else None,
        "probability_of_improvement": 0.9,
    }

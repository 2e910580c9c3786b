"""What runs bring forth, as the API shows it: results, histories, events, comparisons."""

from __future__ import annotations

from typing import Any

from entromask.resources import Comparison, Event, MetricHistory, Run


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

"""What a benchmark fills both services with: finished runs, and a long history of one of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.db.tables import Metric
from backend.store.runs import create_run
from entromask.spec import RunSpec

# A parameter that MLflow stores is a string of one key.
SPEC = RunSpec.parse({"evaluation": {"tasks": ["rte", "mrpc"], "seeds": [0, 1, 2]}}).resolved()
METRICS = {f"metric_{number}": number / 7 for number in range(10)}
# The test scores of its tasks, and what else of results.json a page shows.
SCORES = {"rte": 0.561, "mrpc": 0.742}
RESULTS: dict[str, Any] = {
    "validation": {"loss": 3.1, "unigram_loss": 6.17, "accuracy": 0.41, "positions": 2808},
    "tasks": {
        task: {
            "score": score,
            "sd": 0.01,
            "per_seed": {str(seed): score + 0.01 * (seed - 1) for seed in range(3)},
            "metrics": {
                "accuracy": {
                    "mean": score,
                    "sd": 0.01,
                    "per_seed": {str(seed): score + 0.01 * (seed - 1) for seed in range(3)},
                }
            },
            "rows": 277,
            "majority_floor": 0.527,
            "untrained_floor": 0.53,
            "collapsed": 0,
        }
        for task, score in SCORES.items()
    },
    "averages": {"glue8": None, "glue9": None},
    "diagnostics": {"plateau_exit_step": 420, "strategy_start_step": 0, "mask_repeat_rate": 0.15},
    "cost": {"steps": 1200, "tokens": 1_228_800, "seconds": 51.7, "tokens_per_second": 23_770.0},
    "warnings": [],
}
# 2026-01-01, in milliseconds.
FIRST_START = 1_767_225_600_000


def flattened(data: Any, path: str = "") -> dict[str, str]:
    if isinstance(data, dict):
        return {
            name: value
            for key, part in data.items()
            for name, value in flattened(part, f"{path}.{key}" if path else key).items()
        }
    return {path: str(data)}


def for_mlflow(metrics: dict[str, float] = METRICS, points: int = 0) -> dict[str, Any]:
    """What `_fill_mlflow.py` is told: the same runs, the first with curves of `points` points."""
    return {
        "first_start": FIRST_START,
        "params": flattened(SPEC.data()),
        "metrics": metrics,
        "points": points,
    }


def fill(database: Database, runs: int, results: dict[str, Any] | None = None) -> str:
    """Finished runs in our own database; returns the id of the first."""
    migrate(database)
    with database.write() as session:
        made = [create_run(session, SPEC) for _ in range(runs)]
        for number, run in enumerate(made):
            run.status, run.metrics, run.results = "succeeded", METRICS, results
            run.created_at = run.started_at = FIRST_START / 1000 + number
            run.finished_at = run.started_at + 0.5
        return made[0].id


def add_history(
    database: Database, run_id: str, key: str, points: Iterable[tuple[int, float]]
) -> None:
    """The (step, value) of one metric of a run."""
    rows = [{"run_id": run_id, "key": key, "step": step, "value": value} for step, value in points]
    with database.write() as session:
        session.execute(Metric.__table__.insert(), rows)  # type: ignore[attr-defined]

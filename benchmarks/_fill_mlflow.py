"""Fills an MLflow SQLite store; runs in MLflow's own environment, on its own tables.

python benchmarks/_fill_mlflow.py DATABASE_URI RUNS PARAMS.json
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

from _curves import SHAPES, curve, steps_of
from mlflow.store.tracking.dbmodels import models
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import insert


def main(uri: str, runs: int, description: Path) -> None:
    """Adds finished runs with the same parameters, tags and latest metrics as ours.

    Where it is told to, the first run has curves, of so many points in all, in their place.
    """
    store = SqlAlchemyStore(uri, str(description.parent / "artifacts"))
    given = json.loads(description.read_text(encoding="utf-8"))
    names = [uuid.uuid4().hex for _ in range(runs)]
    start = given["first_start"]
    tables: dict[type, list[dict[str, Any]]] = {
        models.SqlRun: [
            {
                "run_uuid": name,
                "name": f"run {number}",
                "source_type": "LOCAL",
                "user_id": "user",
                "status": "FINISHED",
                "start_time": start + 1000 * number,
                "end_time": start + 1000 * number + 500,
                "lifecycle_stage": "active",
                "artifact_uri": f"mlflow-artifacts:/0/{name}/artifacts",
                "experiment_id": 0,
            }
            for number, name in enumerate(names)
        ],
        models.SqlParam: [
            {"run_uuid": name, "key": key, "value": value}
            for name in names
            for key, value in given["params"].items()
        ],
        models.SqlTag: [
            {"run_uuid": name, "key": "mlflow.runName", "value": f"run {number}"}
            for number, name in enumerate(names)
        ],
        models.SqlLatestMetric: [
            {
                "run_uuid": name,
                "key": key,
                "value": value,
                "timestamp": start,
                "step": 1000,
                "is_nan": False,
            }
            for name in names
            for key, value in given["metrics"].items()
        ],
    }
    if given["points"]:
        add_curves(tables, names[0], start, steps_of(given["points"]))
    with store.engine.begin() as connection:
        for table, rows in tables.items():
            connection.execute(insert(table), rows)
    print(names[0])


def add_curves(tables: dict[type, list[dict[str, Any]]], run: str, start: int, steps: int) -> None:
    """One run's curves in place of its metrics; MLflow keeps the last point of each beside them."""
    tables[models.SqlMetric] = []
    latest = [row for row in tables[models.SqlLatestMetric] if row["run_uuid"] != run]
    for key in SHAPES:
        points = [
            {
                "run_uuid": run,
                "key": key,
                "value": value,
                "timestamp": start + step,
                "step": step,
                "is_nan": False,
            }
            for step, value in curve(key, steps)
        ]
        tables[models.SqlMetric] += points
        latest.append(points[-1])
    tables[models.SqlLatestMetric] = latest


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

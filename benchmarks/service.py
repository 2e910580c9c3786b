"""The service beside an MLflow tracking server on SQLite, interleaved, over HTTP on one machine.

Both hold the same number of finished runs with the same parameters and latest metrics. Measured,
in turns, with one keep-alive client each: the newest 50 runs; one run; 10,000 metric points from
the training process until the server shows the last of them (ours: appended to the run folder's
events and fed to the database as a worker does; MLflow: ten `log-batch` requests of 1,000, its
limit); 100,000 points of one metric thinned to 1,000.

    python benchmarks/service.py [--runs 10000] [--rounds 20]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from _filling import FIRST_START, METRICS, add_history, fill, for_mlflow
from _machine import write_result
from _servers import CACHE, MLFLOW, entromask_server, mlflow_python, mlflow_server

from backend.db.engine import Database
from backend.store.feed import RUN, feed
from entromask.run_folder import RunFolder
from worker.events import EventFile

TARGET = 5.0
LIST_TARGET_MS = 50.0
POINTS, HISTORY, SHOWN = 10_000, 100_000, 1_000


class Ours:
    """The four works, done by this project."""

    def __init__(self, client: httpx.Client, database: Database, run_id: str, folder: Path) -> None:
        self.client, self.database, self.run_id = client, database, run_id
        # What the training process writes, and what its supervisor reads.
        folder.mkdir(parents=True)
        self.folder, self.tail = RunFolder(folder), EventFile(folder / "events.jsonl")
        self.folder.open()
        self.fed = 0

    def list_runs(self) -> None:
        page = self.client.get("/v1/runs", params={"limit": 50}).raise_for_status().json()
        assert len(page["data"]) == 50

    def read_run(self) -> None:
        run = self.client.get(f"/v1/runs/{self.run_id}").raise_for_status().json()
        assert run["id"] == self.run_id

    def log_points(self) -> None:
        steps = range(self.fed + 1, self.fed + POINTS // len(METRICS) + 1)
        for step in steps:
            self.folder.emit("metrics", step=step, metrics=METRICS)
        while events := self.tail.read():
            with self.database.write() as session:
                feed(session, self.run_id, RUN, events)
            self.tail.take()
        self.fed = steps[-1]
        url = f"/v1/runs/{self.run_id}/metrics"
        answer = self.client.get(url, params={"keys": "metric_0", "max_points": 1})
        assert answer.raise_for_status().json()["series"]["metric_0"]["steps"] == [self.fed]

    def read_history(self) -> None:
        url = f"/v1/runs/{self.run_id}/metrics"
        answer = self.client.get(url, params={"keys": "history", "max_points": SHOWN})
        series = answer.raise_for_status().json()["series"]["history"]
        assert series["points"] == HISTORY
        assert 0.9 * SHOWN <= len(series["steps"]) <= SHOWN


class Peer:
    """The same, done by MLflow."""

    def __init__(self, client: httpx.Client, run_id: str) -> None:
        self.client, self.run_id = client, run_id
        self.logged = 0
        self._log("history", range(HISTORY))

    def _post(self, what: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post(f"/api/2.0/mlflow/{what}", json=body).raise_for_status()
        data: dict[str, Any] = answer.json()
        return data

    def _log(self, key: str, steps: range) -> None:
        for first in range(0, len(steps), 1000):
            metrics = [
                {"key": key, "value": step / 3, "timestamp": FIRST_START, "step": step}
                for step in steps[first : first + 1000]
            ]
            self._post("runs/log-batch", {"run_id": self.run_id, "metrics": metrics})

    def list_runs(self) -> None:
        body = {
            "experiment_ids": ["0"],
            "max_results": 50,
            "order_by": ["attributes.start_time DESC"],
        }
        assert len(self._post("runs/search", body)["runs"]) == 50

    def read_run(self) -> None:
        answer = self.client.get("/api/2.0/mlflow/runs/get", params={"run_id": self.run_id})
        assert answer.raise_for_status().json()["run"]["info"]["run_id"] == self.run_id

    def log_points(self) -> None:
        steps = range(self.logged + 1, self.logged + POINTS // len(METRICS) + 1)
        points = [
            {"key": key, "value": value, "timestamp": FIRST_START, "step": step}
            for step in steps
            for key, value in METRICS.items()
        ]
        for first in range(0, len(points), 1000):
            body = {"run_id": self.run_id, "metrics": points[first : first + 1000]}
            self._post("runs/log-batch", body)
        self.logged = steps[-1]
        answer = self.client.get("/api/2.0/mlflow/runs/get", params={"run_id": self.run_id})
        latest = answer.raise_for_status().json()["run"]["data"]["metrics"]
        assert {m["step"] for m in latest if m["key"] == "metric_0"} == {self.logged}

    def read_history(self) -> None:
        # What MLflow's own pages draw their charts from: it thins on the server.
        answer = self.client.get(
            "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
            params={"run_ids": self.run_id, "metric_key": "history", "max_results": SHOWN},
        )
        assert len(answer.raise_for_status().json()["metrics"]) >= 0.9 * SHOWN


def timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare(ours: Ours, peer: Peer, rounds: int) -> dict[str, Any]:
    """Every work in turns, ours first in even rounds; milliseconds."""
    table: dict[str, Any] = {}
    for name in ("list_runs", "read_run", "log_points", "read_history"):
        repeats = max(3, rounds // 4) if name in ("log_points", "read_history") else rounds * 5
        times: dict[str, list[float]] = {"ours": [], "mlflow": []}
        sides: list[tuple[str, Ours | Peer]] = [("ours", ours), ("mlflow", peer)]
        for _, side in sides:
            getattr(side, name)()
        for number in range(repeats):
            for label, side in sides if number % 2 == 0 else sides[::-1]:
                times[label].append(1000 * timed(getattr(side, name)))
        table[name] = {label: described(values) for label, values in times.items()}
        ratio = table[name]["mlflow"]["median_ms"] / table[name]["ours"]["median_ms"]
        table[name] |= {"ratio": round(ratio, 2), "target": TARGET}
        print(
            f"{name:<13} ours {table[name]['ours']['median_ms']:>8.1f} ms   "
            f"mlflow {table[name]['mlflow']['median_ms']:>8.1f} ms   {ratio:.1f}x"
        )
    p95 = table["list_runs"]["ours"]["p95_ms"]
    print(f"list_runs, ours, 95th percentile: {p95} ms (asked: under {LIST_TARGET_MS:.0f})")
    return table


def described(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median_ms": round(statistics.median(ordered), 2),
        "p95_ms": round(ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], 2),
        "min_ms": round(ordered[0], 2),
        "measurements": len(ordered),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        ours_folder, peer_folder = Path(place) / "ours", Path(place) / "mlflow"
        ours_folder.mkdir()
        peer_folder.mkdir()
        database = Database(f"sqlite:///{ours_folder / 'entromask.db'}")
        run_id = fill(database, options.runs)
        add_history(database, run_id, "history", ((step, step / 3) for step in range(HISTORY)))
        python = mlflow_python(CACHE)
        with (
            entromask_server(ours_folder) as ours_client,
            mlflow_server(peer_folder, python, options.runs, for_mlflow()) as (client, peer_id),
        ):
            ours = Ours(ours_client, database, run_id, ours_folder / "runs" / run_id)
            table = compare(ours, Peer(client, peer_id), options.rounds)
        database.close()
        result: dict[str, Any] = {"runs": options.runs, "mlflow": MLFLOW, "works": table}
    print(write_result("service", result))


if __name__ == "__main__":
    main()

"""The whole stack on this machine: how soon a run starts, and what a second worker brings.

On a warm worker, with the corpus packed: the seconds from a submission to the report of its first
ten training steps. Then one run's evaluation (every task and fine-tuning seed a job of its own) by
one worker and by two, from the last checkpoint to the last result.

    python benchmarks/stack.py [--rounds 5]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from _machine import write_result
from _servers import free_port

from entromask.client import Client

START_TARGET_S = 2.0
SPEC: dict[str, Any] = {
    "corpus": {"source": "builtin", "max_tokens": 400_000},
    "tokenizer": {"source": "train", "vocab_size": 2048},
    "model": {"architecture": "modernbert", "size": "tiny"},
    "pretraining": {"budget": {"steps": 30}, "batch_size": 16, "sequence_length": 64},
}
EVALUATION = {"tasks": ["demo-order", "demo-pair"], "seeds": [0, 1, 2, 3], "floor": False}


@contextmanager
def up(home: Path, workers: int) -> Iterator[Client]:
    """The stack with its train workers idle, one thread each."""
    port = free_port()
    environment = {
        **os.environ,
        "ENTROMASK_HOME": str(home),
        "ENTROMASK_API_PORT": str(port),
        "ENTROMASK_DASHBOARD_PORT": str(free_port()),
        "ENTROMASK_RATE_LIMIT": "0",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "entromask", "up", "--workers", str(workers)]
    with (home.parent / "up.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        with Client(f"http://127.0.0.1:{port}") as client:
            until(lambda: sum(w.queue == "train" for w in client.workers()) == workers)
            yield client
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 180
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except Exception as error:
            last = error
        time.sleep(0.3)
    raise SystemExit(f"the stack did not come up: {last}")


def submit_to_first_steps(client: Client, home: Path, rounds: int) -> dict[str, Any]:
    """The first run, which packs the corpus, is not counted."""
    seconds = []
    for number in range(rounds + 1):
        start = time.time()
        run = client.create_run(SPEC | {"seed": number})
        client.wait(run.id, timeout=300)
        if number:
            seconds.append(first_steps(home / "runs" / run.id) - start)
    return {
        "median_s": round(statistics.median(seconds), 2),
        "each_s": [round(value, 2) for value in seconds],
        "target_s": START_TARGET_S,
    }


def first_steps(folder: Path) -> float:
    for line in (folder / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["type"] == "progress" and event.get("stage") == "pretraining":
            return datetime.fromisoformat(event["time"]).timestamp()
    raise SystemExit(f"no training step in {folder}")


def evaluation_seconds(client: Client, seed: int) -> float:
    run = client.create_run(SPEC | {"seed": seed, "evaluation": EVALUATION})
    moments = []
    for event in client.follow(run):
        if event.type in ("checkpoint", "result"):
            moments.append(datetime.fromisoformat(event.time).timestamp())
    return moments[-1] - moments[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="em-") as place:
        home = Path(place) / "home"
        home.mkdir()
        with up(home, workers=1) as client:
            started = submit_to_first_steps(client, home, options.rounds)
            print(f"submission to the report of the first ten steps: {started}")
            one = [evaluation_seconds(client, seed) for seed in (100, 101)]
        with up(home, workers=2) as client:
            two = [evaluation_seconds(client, seed) for seed in (102, 103)]
    cells = {
        "jobs": len(EVALUATION["tasks"]) * len(EVALUATION["seeds"]),
        "one_worker_s": [round(value, 1) for value in one],
        "two_workers_s": [round(value, 1) for value in two],
        "ratio": round(statistics.mean(one) / statistics.mean(two), 2),
    }
    print(f"evaluation: {cells}")
    print(write_result("stack", {"submit_to_first_steps": started, "evaluation": cells}))


if __name__ == "__main__":
    main()

"""Experiments: whether a second worker halves the wait, and how long planning takes.

The same experiment (a teacher, its student, self-masking, random masking and controls, two seeds,
each run with its evaluation) on a stack with one worker and on one with two, by turns, each on an
empty home: from the submission to the end of the last run. Every job has one thread, so that both
have equal cores per job. Then a plan of 1,000 runs, and their submission, over HTTP.

    python benchmarks/experiments.py [--rounds 2]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from _machine import write_result
from stack import up

from entromask.resources import OVER

SPEEDUP_TARGET, PLANNING_TARGET_S = 1.7, 5.0
SPEC: dict[str, Any] = {
    "name": "benchmark",
    "base": {
        "corpus": {"source": "builtin", "max_tokens": 400_000},
        "tokenizer": {"source": "train", "vocab_size": 2048},
        "model": {"architecture": "modernbert", "size": "tiny"},
        "teacher": {"run": "teacher"},
        "pretraining": {"budget": {"steps": 120}, "batch_size": 16, "sequence_length": 64},
        "evaluation": {"tasks": ["demo-order"], "seeds": [0, 1], "floor": False},
    },
    "teachers": {"teacher": {"seed": 100}},
    "methods": {
        "random": {"masking.preset": "random"},
        "by teacher": {"masking.preset": "teacher-masked-entropy-sample"},
        "self": {"masking.preset": "self-entropy-sample"},
    },
    "seeds": [0, 1],
    "controls": {"no_pretraining": False},
}
# 100 rates with ten seeds.
LARGE: dict[str, Any] = {
    "name": "large",
    "base": {**SPEC["base"], "teacher": None},
    "matrix": {"masking.rate": [round(0.05 + 0.001 * number, 3) for number in range(100)]},
    "baseline": {"masking.rate": 0.05},
    "seeds": list(range(10)),
    "controls": False,
}


def wall_clock(workers: int) -> dict[str, float]:
    """Of one experiment on a fresh stack: seconds, and how many jobs of it were done."""
    with tempfile.TemporaryDirectory(prefix="em-") as place:
        home = Path(place) / "home"
        home.mkdir()
        with up(home, workers) as client:
            # The corpus is packed, and every worker has done a job: a stack that is in use.
            warm = SPEC["base"] | {"teacher": None, "seed": 1000, "name": "warm"}
            warm = warm | {"pretraining": warm["pretraining"] | {"budget": {"steps": 5}}}
            for run in [client.create_run(warm | {"seed": 1000 + i}) for i in range(2 * workers)]:
                client.wait(run, timeout=600)
            started = time.monotonic()
            made = client.create_experiment(SPEC)
            while (found := client.get_experiment(made)).status not in OVER:
                time.sleep(0.2)
            seconds = time.monotonic() - started
            if found.status != "succeeded":
                raise SystemExit(f"the experiment ended {found.status}: {found.runs}")
            return {"seconds": round(seconds, 1), "runs": found.total}


def planning() -> dict[str, float]:
    """Seconds from the request to its answer, for a plan of 1,000 runs and for their submission."""
    with tempfile.TemporaryDirectory(prefix="em-") as place:
        home = Path(place) / "home"
        home.mkdir()
        with up(home, workers=1) as client:
            plan = timed(lambda: client.plan_experiment(LARGE))
            submission = timed(lambda: client.create_experiment(LARGE))
            runs = sum(1 for _ in client.list_runs())
    return {"runs": runs, "plan_s": plan, "submission_s": submission, "target_s": PLANNING_TARGET_S}


def timed(call: Any) -> float:
    started = time.perf_counter()
    call()
    return round(time.perf_counter() - started, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    planned = planning()
    print(f"planning: {planned}", flush=True)
    sides: dict[int, list[float]] = {1: [], 2: []}
    runs = 0.0
    for number in range(options.rounds):
        # By turns, and the other way round each time.
        for workers in (1, 2) if number % 2 == 0 else (2, 1):
            found = wall_clock(workers)
            runs = found["runs"]
            sides[workers].append(found["seconds"])
            print(f"{workers} workers: {found}", flush=True)
    ratio = statistics.median(sides[1]) / statistics.median(sides[2])
    scheduling = {
        "runs": runs,
        "one_worker_s": sides[1],
        "two_workers_s": sides[2],
        "ratio": round(ratio, 2),
        "target": SPEEDUP_TARGET,
    }
    print(f"scheduling: {scheduling}")
    print(write_result("experiments", {"scheduling": scheduling, "planning": planned}))


if __name__ == "__main__":
    main()

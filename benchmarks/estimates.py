"""Time estimates: what is predicted before a run, beside what it then takes.

On one worker with one thread, on an empty home, so that the first prediction rests on the
two-second measurement of the machine alone: `examples/quick.yaml`, the three runs of the demo, and
an experiment of 11 runs; and each once more with another seed, when finished runs have been learned
from. The real time is that from the submission to the end of the last run. Nothing else should use
the machine meanwhile.

    python benchmarks/estimates.py [--only quick demo experiment] [--steps 1200] [--no-write]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _machine import write_result
from stack import until, up

from entromask.client import Client
from entromask.demo import PRESETS, demo_spec
from entromask.resources import OVER
from entromask.spec import RunSpec

TARGET = 0.25
_QUICK = Path(__file__).parents[1] / "examples" / "quick.yaml"
_STEPS = 1200
_LOOK = 0.2


def _steps(spec: dict[str, Any], steps: int) -> dict[str, Any]:
    return spec | {"pretraining": spec["pretraining"] | {"budget": {"steps": steps}}}


def quick(client: Client, steps: int, seed: int) -> tuple[float, float]:
    """Predicted and real seconds of `examples/quick.yaml`."""
    spec = RunSpec.load(_QUICK, [f"seed={seed}", f"pretraining.budget.steps={steps}"])
    predicted = _seconds(client, spec.data())
    started = time.monotonic()
    _finish(client, [client.create_run(spec).id])
    return predicted, time.monotonic() - started


def demo(client: Client, steps: int, seed: int) -> tuple[float, float]:
    """Those of the demo: random masking, its teacher's student, and self-entropy masking."""
    base = _steps(demo_spec(PRESETS[0], None), steps)
    plan = {
        "name": "demo",
        "base": {key: value for key, value in base.items() if key not in ("name", "masking")},
        "teachers": {"first": {"masking.preset": PRESETS[0]}},
        "methods": {
            PRESETS[1]: {"masking.preset": PRESETS[1], "teacher": {"run": "first"}},
            PRESETS[2]: {"masking.preset": PRESETS[2]},
        },
        "seeds": [seed],
        "baseline": PRESETS[2],
        "controls": False,
    }
    return _experiment(client, plan, 3)


def experiment(client: Client, steps: int, seed: int) -> tuple[float, float]:
    """Those of an experiment of 11 runs: a teacher, and five methods with two seeds."""
    base = _steps(demo_spec(PRESETS[0], None), steps // 3)
    presets = ["random", "frequency", "self-entropy-sample", "teacher-entropy-sample", "amlm"]
    plan = {
        "name": "eleven",
        "base": {key: value for key, value in base.items() if key not in ("name", "masking")}
        | {"teacher": {"run": "teacher"}},
        "teachers": {"teacher": {"seed": 100 + seed}},
        "methods": {preset: {"masking.preset": preset} for preset in presets},
        "seeds": [2 * seed, 2 * seed + 1],
        "baseline": "random",
        "controls": False,
    }
    return _experiment(client, plan, 11)


CASES: dict[str, Callable[[Client, int, int], tuple[float, float]]] = {
    "quick": quick,
    "demo": demo,
    "experiment": experiment,
}


def _experiment(client: Client, plan: dict[str, Any], runs: int) -> tuple[float, float]:
    planned = client.plan_experiment(plan)
    assert planned.new == runs, planned
    assert planned.seconds is not None
    started = time.monotonic()
    made = client.create_experiment(plan)
    _finish(client, [run.id for cell in made.cells for run in cell.runs])
    return planned.seconds, time.monotonic() - started


def _seconds(client: Client, spec: dict[str, Any]) -> float:
    seconds = client.validate_run(spec).estimate.seconds
    assert seconds is not None
    return seconds


def _finish(client: Client, runs: list[str]) -> None:
    waiting = set(runs)
    while waiting:
        for id_ in list(waiting):
            run = client.get_run(id_)
            if run.status in OVER:
                if run.status != "succeeded":
                    raise SystemExit(f"{run.name} ended {run.status}: {run.error}")
                waiting.remove(id_)
        time.sleep(_LOOK)


def _measured(client: Client) -> bool:
    spec = RunSpec.load(_QUICK).data()
    return client.validate_run(spec).estimate.seconds is not None


def measure(name: str, steps: int) -> dict[str, Any]:
    """A case on a fresh home, twice."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="em-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        with up(home, workers=1) as client:
            until(lambda: _measured(client))
            for seed, kind in enumerate(("first", "learned")):
                predicted, real = CASES[name](client, steps, seed)
                found[kind] = {
                    "predicted_s": round(predicted, 1),
                    "real_s": round(real, 1),
                    "error": round(predicted / real - 1, 3),
                }
                print(f"{name}, {kind}: {found[kind]}", flush=True)
    return found


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--steps", type=int, default=_STEPS, help="of a pretraining")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args(arguments)
    cases = {name: measure(name, options.steps) for name in options.only}
    report = {"steps": options.steps, "target": TARGET, "cases": cases}
    if not options.no_write:
        print(write_result("estimates", report))
    return report


if __name__ == "__main__":
    main()

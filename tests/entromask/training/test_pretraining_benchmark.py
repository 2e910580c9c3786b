from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "pretraining.py"


@pytest.mark.slow
def test_the_benchmark_measures_three_sides_and_their_ratios() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import json, pretraining\n"
        "case = pretraining.Case(2, 64, 500, batch=4)\n"
        "print(json.dumps(pretraining.measure(case, 'fp32', 'cpu', rounds=2, steps=2)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    times = report["milliseconds_per_step"]
    assert set(times) == {"trainer", "random", "self_entropy"}
    assert min(times.values()) > 0
    for ratio in ("speedup_over_trainer", "self_entropy_over_random"):
        assert 0 < report[ratio]["min"] <= report[ratio]["median"] <= report[ratio]["max"]

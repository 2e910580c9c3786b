from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "fine_tuning.py"


@pytest.mark.slow
def test_the_benchmark_measures_every_side_and_describes_the_machine() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        "import json, fine_tuning, _machine\n"
        "report = fine_tuning.main('--rows 16 --rounds 1 --size tiny --no-write'.split())\n"
        "print(json.dumps({'machine': _machine.machine(), **report}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["machine"]["cores"] >= 1
    assert {"cpu", "threads", "torch", "transformers", "date"} <= set(report["machine"])
    for task in report["tasks"]:
        assert set(task["seconds"]) == {"entromask", "padded_to_128", "group_by_length"}
        assert min(task["seconds"].values()) > 0
    assert set(report["speedup_overall"]) == {"padded_to_128", "group_by_length"}

"""Every shipped example is a valid spec that resolves, and says what its keys mean."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from entromask.client import Client
from entromask.demo import SIZES
from entromask.spec import RunSpec
from tests.up import Service

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))


def test_the_examples_are_there() -> None:
    assert {"quick.yaml", "real-text.yaml", "adapt.yaml"} <= {path.name for path in EXAMPLES}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_resolves(path: Path) -> None:
    assert RunSpec.load(path).resolved().spec_hash


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_starts_with_what_it_is_for_and_how_to_run_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert any(line.startswith(f"#   entromask run examples/{path.name}") for line in lines)


def test_the_overrides_that_the_real_text_example_names_are_accepted() -> None:
    spec = RunSpec.load(
        FOLDER / "real-text.yaml",
        [
            "corpus.path=text.txt.gz",
            "masking.preset=teacher-masked-entropy-sample",
            "teacher.path=model",
        ],
    ).resolved()
    assert (spec.masking.source, spec.masking.view) == ("teacher", "masked")


def test_the_quick_example_is_as_large_as_a_run_of_the_demo() -> None:
    quick = RunSpec.load(FOLDER / "quick.yaml").pretraining
    assert quick.budget.steps == SIZES["steps"]
    assert quick.sequence_length == SIZES["sequence_length"]


def test_the_curl_example_submits_what_the_quick_example_describes() -> None:
    script = (FOLDER / "submit_runs.sh").read_text(encoding="utf-8")
    body = script.partition("<<JSON\n")[2].partition("\nJSON")[0]
    defaults = dict(re.findall(r"^(\w+)=\$\{\1:-'?(.*?)'?\}$", script, re.MULTILINE))
    for name, value in {"1": "quick", "2": "0", **defaults}.items():
        body = body.replace(f"${name}", value)
    data = json.loads(body)["spec"]
    data["masking"]["preset"] = "self-entropy-sample"
    assert RunSpec.parse(data).spec_hash == RunSpec.load(FOLDER / "quick.yaml").spec_hash


@pytest.mark.slow
def test_the_examples_that_submit_runs_end_with_their_scores(service: Service) -> None:
    tiny = {"tasks": ["demo-order"], "seeds": [0], "floor": False}
    python = [sys.executable, str(FOLDER / "submit_runs.py")]
    for change in ("pretraining.budget.steps=3", *(f"evaluation.{k}={v}" for k, v in tiny.items())):
        python += ["--set", change]
    environment = service.environment | {"STEPS": "3", "EVALUATION": json.dumps(tiny)}
    for command in (python, ["sh", str(FOLDER / "submit_runs.sh")]):
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stderr + service.text
        assert done.stdout.count("submitted run_") == 4
        assert all(preset in done.stdout for preset in ("random", "self-entropy-sample"))
    with Client(service.url) as client:
        runs = list(client.list_runs(tag="example"))
    assert len(runs) == 8
    assert all(run.status == "succeeded" and "demo-order" in run.scores for run in runs)
    # The second four are the same specs as the first, made without Python.
    assert len({run.spec["masking"]["preset"] for run in runs}) == 2


def test_the_examples_say_it_where_there_is_no_service() -> None:
    environment = os.environ | {"ENTROMASK_API_URL": "http://127.0.0.1:1"}
    for command in ([sys.executable, "submit_runs.py"], ["sh", "submit_runs.sh"]):
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1
        assert "entromask up" in done.stderr
        assert "Traceback" not in done.stderr

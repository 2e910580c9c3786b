"""Every shipped example is a valid spec that resolves, and says what its keys mean."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM

from entromask.client import Client
from entromask.demo import SIZES
from entromask.experiments import Controls, ExperimentSpec
from entromask.experiments.cells import cells_of, spec_of
from entromask.glue.tasks import GLUE9
from entromask.modeling.architectures import ARCHITECTURES
from entromask.presets import SIZES as MODEL_SIZES
from entromask.spec import RunSpec
from tests.entromask.runs import short_evaluation, write_corpus
from tests.up import Service

FOLDER = Path(__file__).parent.parent / "examples"
EXPERIMENTS = sorted(FOLDER.glob("experiment-*.yaml"))
EXAMPLES = sorted(set(FOLDER.glob("*.yaml")) - set(EXPERIMENTS))


def test_the_examples_are_there() -> None:
    names = {path.name for path in EXAMPLES}
    assert {"quick.yaml", "real-text.yaml", "adapt.yaml", "paper-tiny.yaml"} <= names


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_resolves(path: Path) -> None:
    assert RunSpec.load(path).resolved().spec_hash


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_starts_with_what_it_is_for_and_how_to_run_it(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert any(line.startswith(f"#   entromask run examples/{path.name}") for line in lines)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_an_example_of_an_experiment_has_its_controls_and_enough_seeds(path: Path) -> None:
    spec = ExperimentSpec.load(path)
    assert len(spec.seeds) >= 3
    assert spec.controls == Controls()
    assert [cell.label for cell in cells_of(spec) if cell.role == "baseline"] == ["random"]
    for cell in cells_of(spec):
        data = spec_of(spec, cell.settings)
        assert len(RunSpec.parse(data).evaluation.seeds) >= 3
    text = path.read_text(encoding="utf-8")
    assert f"#   entromask experiment examples/{path.name}" in text


def commands(path: Path) -> list[list[str]]:
    """The commands with a spec in an example's comments, as words."""
    comments = [line[1:] for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
    lines = "\n".join(comments).replace("\\\n", " ").splitlines()
    found = [shlex.split(line) for line in lines if line.strip().startswith("entromask ")]
    return [words for words in found if words[1] in ("run", "prefetch")]


def overrides(command: list[str]) -> list[str]:
    return [word for flag, word in pairwise(command) if flag == "--set"]


def test_every_command_of_the_paper_s_example_gives_a_run() -> None:
    path = FOLDER / "paper-tiny.yaml"
    specs: dict[str, RunSpec] = {}
    for command in commands(path):
        assert command[2] == "examples/paper-tiny.yaml"
        spec = RunSpec.load(path, overrides(command)).resolved()
        if command[1] == "run":
            specs[f"{spec.name} {spec.seed}"] = spec
    found = {
        name: (spec.masking.source, spec.teacher is not None, spec.distillation is not None)
        for name, spec in specs.items()
    }
    assert found == {
        "random 0": (None, False, False),
        "teacher-high 0": ("teacher", True, False),
        "random-distilled 0": (None, True, True),
        "teacher-high-distilled 0": ("teacher", True, True),
        "self-high 0": ("self", False, False),
        "self-high-distilled 0": ("self", True, True),
        "random 1": (None, False, False),
    }
    # 10,000 steps of warm-up, of 220,000 rows in 25 epochs.
    for name, spec in specs.items():
        pretraining = spec.pretraining
        assert pretraining.batch_size == (160 if name.startswith("random") else 200)
        steps = 220_000 // pretraining.batch_size * 25
        assert float(pretraining.warmup) * steps == pytest.approx(10_000, rel=0.02)


def test_the_paper_s_example_can_be_fetched_with_its_teacher() -> None:
    path = FOLDER / "paper-tiny.yaml"
    [fetch] = [command for command in commands(path) if command[1] == "prefetch"]
    fetched = RunSpec.load(path, overrides(fetch)).resolved()
    for command in commands(path):
        spec = RunSpec.load(path, overrides(command)).resolved()
        assert (spec.corpus, spec.tokenizer) == (fetched.corpus, fetched.tokenizer)
        assert spec.teacher in (None, fetched.teacher)
        assert set(spec.evaluation.tasks) == set(fetched.evaluation.tasks) == set(GLUE9)


def test_the_paper_s_example_has_the_size_of_the_cards() -> None:
    model = RunSpec.load(FOLDER / "paper-tiny.yaml").resolved().model
    assert (model.architecture, model.size) == ("distilbert", "paper-tiny")
    config = ARCHITECTURES["distilbert"](
        MODEL_SIZES["paper-tiny"], 512, model.dropout, vocab_size=30_522, pad_token_id=0
    )
    with torch.device("meta"):
        built = AutoModelForMaskedLM.from_config(config)
    assert round(sum(p.numel() for p in built.parameters()) / 1e6) == 33


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
def test_the_examples_that_submit_runs_end_with_their_scores(
    service: Service, tmp_path: Path
) -> None:
    tiny = short_evaluation(tmp_path)
    python = [sys.executable, str(FOLDER / "submit_runs.py")]
    for change in ("pretraining.budget.steps=3", f"evaluation={json.dumps(tiny)}"):
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
    assert all(run.status == "succeeded" and "sst2" in run.scores for run in runs)
    # The second four are the same specs as the first, made without Python.
    assert len({run.spec["masking"]["preset"] for run in runs}) == 2


@pytest.mark.slow
def test_the_examples_say_it_where_there_is_no_service() -> None:
    environment = os.environ | {"ENTROMASK_API_URL": "http://127.0.0.1:1"}
    for command in ([sys.executable, "submit_runs.py"], ["sh", "submit_runs.sh"]):
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 1
        assert "entromask up" in done.stderr
        assert "Traceback" not in done.stderr


def hf_trainer(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "hf_trainer.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_trainer_example_trains_with_either_source_and_ends_with_the_common_loss(
    tmp_path: Path,
) -> None:
    text = write_corpus(tmp_path / "text.txt", documents=40)
    for source, asked in (
        ("self", "self-entropy-sample"),
        ("teacher", "teacher-masked-entropy-sample"),
    ):
        done = hf_trainer("--source", source, "--steps", "6", "--text", str(text))
        assert done.returncode == 0, done.stderr
        assert f"{asked}: 6 steps" in done.stdout
        assert ("teacher: 6 steps of random masks" in done.stdout) == (source == "teacher")
        last = done.stdout.strip().splitlines()[-1]
        [loss] = re.findall(r"^common loss ([\d.]+) nats", last)
        assert 5 < float(loss) < 8
        assert "Warning" not in done.stderr


@pytest.mark.slow
def test_the_trainer_example_says_what_is_wrong_with_its_input() -> None:
    for option in ("--text", "--teacher"):
        done = hf_trainer("--source", "teacher", option, "/nowhere/at-all")
        assert done.returncode == 1
        assert "error: " in done.stderr
        assert "/nowhere/at-all" in done.stderr
        assert "Traceback" not in done.stderr

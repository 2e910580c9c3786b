"""A run in several processes: what one process computes, and no process left waiting."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import entromask
from tests.entromask.launched import launch
from tests.entromask.runs import events, small_spec, weights, write_corpus

STEPS, ROWS = 20, 7  # neither 2 nor 3 processes share seven rows evenly


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("processes") / "corpus.txt", 6)


def described(corpus: Path, masking: dict[str, Any], **parts: Any) -> dict[str, Any]:
    """A run of three epochs whose last checkpoint is due at its last step."""
    spec = small_spec(corpus, masking=masking, **parts)
    spec["corpus"]["max_tokens"] = 50 * 32
    spec["pretraining"] |= {
        "budget": {"steps": STEPS},
        "batch_size": ROWS,
        "checkpoint_every": 5,
        "evaluate_every": 10,
    }
    return spec


def results(folder: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return data


def losses(folder: Path) -> list[float]:
    return [
        event["metrics"]["training_loss"]
        for event in events(folder)
        if "training_loss" in event.get("metrics", {})
    ]


def assert_same_run(folder: Path, other: Path, same_masks: bool) -> None:
    """The runs differ by the rounding of sums alone; of their masks, not at all."""
    mine, theirs = results(folder), results(other)
    assert mine["validation"] == pytest.approx(theirs["validation"], rel=2e-3, abs=2e-3)
    assert losses(folder) == pytest.approx(losses(other), rel=2e-3)
    assert len(losses(folder)) == STEPS // 10
    for name in ("steps", "tokens", "masked_tokens", "flops"):
        assert mine["cost"][name] == theirs["cost"][name], name
    if same_masks:
        counted = [
            {
                name: value
                for name, value in data["diagnostics"].items()
                if name not in ("entropy_histograms", "plateau_exit_step")
            }
            for data in (mine, theirs)
        ]
        assert counted[0] == counted[1]
        assert counted[0]["mask_repeat_rate"] is not None
    for name, tensor in load_file(other / "model" / "model.safetensors").items():
        found = load_file(folder / "model" / "model.safetensors")[name]
        torch.testing.assert_close(found, tensor, rtol=1e-2, atol=4e-3)


# Hard selection by a table of frequencies, whose masks rounding cannot move; and the model's own
# stored scores, which every process has to know of every row.
MASKING: dict[str, dict[str, Any]] = {
    "frequency": {"preset": "frequency"},
    "stored": {"preset": "self-masked-entropy-sample", "warmup": 0.1},
    "distilled": {"preset": "random"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "processes"),
    [
        ("frequency", 2),
        ("frequency", 3),
        ("stored", 2),
        ("stored", 3),
        ("distilled", 3),
    ],
)
def test_several_processes_report_what_one_does(
    kind: str, processes: int, corpus: Path, tmp_path: Path
) -> None:
    spec = described(corpus, MASKING[kind])
    if kind == "distilled":
        teacher = entromask.run(spec, output=tmp_path / "teacher").folder
        spec |= {"teacher": {"path": str(teacher / "model")}, "distillation": {"weight": 0.5}}
        spec |= {"seed": 1, "tokenizer": None}
    alone = entromask.run(spec, output=tmp_path / "alone").folder
    launched = launch(spec, tmp_path / "run", processes)
    assert launched.wait() == 0, launched.errors()
    assert_same_run(tmp_path / "run", alone, same_masks=kind != "stored")
    assert "Validation" in launched.text(0, "stdout")  # the table
    for rank in range(1, processes):
        assert launched.text(rank, "stdout") == launched.text(rank, "stderr") == ""


@pytest.mark.faults
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_is_killed_ends_the_others_and_the_run_resumes(
    killed: int, corpus: Path, tmp_path: Path
) -> None:
    spec = described(corpus, MASKING["stored"])
    undisturbed = launch(spec, tmp_path / "undisturbed", 2)
    assert undisturbed.wait() == 0, undisturbed.errors()
    folder = tmp_path / "run"
    launched = launch(spec, folder, 2)
    launched.kill_at(killed, (folder / "checkpoints" / "step-10").is_dir)
    assert launched.wait() != 0
    survivor = launched.text(1 - killed, "stderr")
    assert f"process {1 - killed} of 2 has lost the connection to the others" in survivor
    assert "--resume" in survivor
    assert "Traceback" not in survivor
    assert not (folder / "results.json").exists()
    resumed = launch(spec, folder, 2, "--resume")
    assert resumed.wait() == 0, resumed.errors()
    assert any(event["type"] == "resumed" for event in events(folder))
    assert weights(folder) == weights(tmp_path / "undisturbed")
    mine, theirs = results(folder), results(tmp_path / "undisturbed")
    for part in ("validation", "diagnostics"):
        assert mine[part] == theirs[part]
    assert mine["cost"]["flops"] == theirs["cost"]["flops"]


@pytest.mark.faults
def test_every_process_ends_well_ten_times_in_a_row(corpus: Path, tmp_path: Path) -> None:
    spec = described(corpus, MASKING["frequency"])
    for attempt in range(10):
        launched = launch(spec, tmp_path / f"run-{attempt}", 2)
        assert launched.wait() == 0, launched.errors()
        assert launched.text(1, "stderr") == ""
        assert weights(tmp_path / f"run-{attempt}") == weights(tmp_path / "run-0")


@pytest.mark.slow
def test_an_evaluation_may_take_longer_than_the_timeout_of_the_processes(
    corpus: Path, tmp_path: Path
) -> None:
    # A process group's own timeout of five seconds stands for the usual thirty minutes.
    short = (
        "import torch.distributed as d, functools, datetime\n"
        "d.init_process_group = functools.partial(\n"
        "    d.init_process_group, timeout=datetime.timedelta(seconds=5))\n"
        "from entromask.cli import main\n"
        "main()\n"
    )
    script = tmp_path / "short.py"
    script.write_text(short)
    evaluation = {"tasks": ["demo-order"], "seeds": [0], "floor": True}
    spec = described(corpus, MASKING["frequency"], evaluation=evaluation)
    launched = launch(spec, tmp_path / "run", 2, script=script)
    assert launched.wait() == 0, launched.errors()
    started, ended = (
        next(
            datetime.fromisoformat(event["time"])
            for event in events(tmp_path / "run")
            if event["type"] == "stage" and event["message"] == stage
        )
        for stage in ("evaluating", "reporting")
    )
    assert (ended - started).total_seconds() > 5
    assert results(tmp_path / "run")["tasks"]["demo-order"]["rows"] == 500

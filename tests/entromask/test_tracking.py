"""Metrics in the real trackers, read back from what they have stored; and trackers that fail."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import entromask
from entromask import tracking
from entromask.errors import DependencyMissingError, InputError
from entromask.settings import settings
from entromask.spec import RunSpec
from entromask.trackers import TRACKERS, Kind
from tests.entromask.runs import (
    events,
    execute,
    short_evaluation,
    small_spec,
    weights,
    write_corpus,
)
from tests.entromask.tracked import READERS, Tracked


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(scope="module")
def corpus(place: Path) -> Path:
    return write_corpus(place / "corpus.txt")


@pytest.fixture(scope="module")
def untracked(place: Path, corpus: Path) -> Path:
    return entromask.run(small_spec(corpus), output=place / "untracked").folder


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the trackers of a test write."""
    for name, value in {
        "ENTROMASK_TRACKING_DIR": str(tmp_path / "files"),
        "WANDB_MODE": "offline",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("MLFLOW_TRACKING_URI", "TRACKIO_DIR", "ENTROMASK_TRACKERS"):
        monkeypatch.delenv(name, raising=False)
    settings.cache_clear()
    return tmp_path / "files"


@pytest.fixture(autouse=True)
def _settings_read_again() -> Any:
    yield
    settings.cache_clear()


def told(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of the run's own log; of a step that was done twice, the first."""
    points: dict[str, dict[int, float]] = {}
    for event in events(folder):
        if event["type"] in ("progress", "metrics") and event["stage"] == "pretraining":
            for name, value in event["metrics"].items():
                if value is not None and name not in ("eta_seconds", "fraction"):
                    points.setdefault(name, {}).setdefault(event["step"], value)
    return {name: list(steps.items()) for name, steps in points.items()}


def check(run: Tracked, folder: Path, spec: dict[str, Any]) -> None:
    """The tracker holds what the run folder holds, once."""
    curves = {name: points for name, points in run.points.items() if "/" not in name}
    expected = told(folder)
    assert set(curves) == set(expected)
    for name, points in expected.items():
        assert [step for step, _ in curves[name]] == [step for step, _ in points], name
        assert [value for _, value in curves[name]] == pytest.approx(
            [value for _, value in points], rel=1e-6
        )
    results = json.loads((folder / "results.json").read_text())
    for name, value in {
        "task/sst2": results["tasks"]["sst2"]["score"],
        "average/available": results["averages"]["available"]["value"],
        "validation/loss": results["validation"]["loss"],
        "diagnostics/position_coverage": results["diagnostics"]["position_coverage"],
        "cost/tokens": results["cost"]["tokens"],
    }.items():
        assert run.points[name] == [(30, pytest.approx(value, rel=1e-6))]
    resolved = RunSpec.parse(spec)
    assert run.config["spec_hash"] == resolved.spec_hash
    assert run.config["group_hash"] == resolved.group_hash
    assert str(run.config["pretraining.learning_rate"]) == "0.002"
    assert run.status == "succeeded"


# Ends itself behind the validation of step 20, once the tracker has got that.
KILLED = """
import json, os, signal, sqlite3, sys, time
from pathlib import Path
import entromask
from tests.entromask.tracked import READERS

spec, folder, files, name = json.loads(sys.argv[1]), *map(Path, sys.argv[2:4]), sys.argv[4]
state, last = folder / "trackers" / f"{name}.json", 0

def has_got():
    if not state.is_file() or json.loads(state.read_text())["seq"] < last:
        return False
    if name != "trackio":
        return True
    try:  # it writes what it was given in the background
        (run,) = READERS[name](files)
        return run.points["validation_loss"][-1][0] == 20
    except (KeyError, ValueError, sqlite3.OperationalError):
        return False

def on_event(event):
    global last
    if event["type"] == "histogram" and event["step"] == 20:
        while not has_got():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    last = event.get("seq", last)

entromask.run(spec, folder, on_event=on_event)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", TRACKERS)
def test_a_killed_and_resumed_run_is_one_run_in_a_tracker_with_every_point_once(
    name: str, tmp_path: Path, corpus: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(TRACKERS[name].module)
    monkeypatch.setenv("ENTROMASK_TRACKERS", name)
    spec = small_spec(corpus, evaluation=short_evaluation(tmp_path / "glue"))
    spec["pretraining"] |= {"checkpoint_every": 15}
    folder = tmp_path / "tracked"
    words = [json.dumps(spec), str(folder), str(files), name]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], timeout=300)
    assert killed.returncode == -signal.SIGKILL
    done = execute(spec, folder, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()][-1] == "results"
    again = [e for e in events(folder) if e["type"] == "metrics" and e["step"] == 20]
    assert len(again) == 2, "no step was done twice"
    (run,) = READERS[name](files)
    check(run, folder, spec)


@pytest.mark.slow
def test_the_pieces_of_a_worker_are_one_run_in_a_tracker(
    tmp_path: Path, corpus: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTROMASK_TRACKERS", "tensorboard")
    spec = small_spec(corpus, evaluation=short_evaluation(tmp_path / "glue"))
    folder = tmp_path / "run_1"
    folder.mkdir()
    (folder / "spec.yaml").write_text(RunSpec.parse(spec).resolved().to_yaml())
    for stage in ("pretrain", "report"):
        code = f"from entromask import pipeline; from pathlib import Path; pipeline.{stage}(Path("
        done = subprocess.run(
            [sys.executable, "-c", f"{code}{str(folder)!r}))"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        if stage == "pretrain":
            (run,) = READERS["tensorboard"](files)
            assert run.status is None
            assert "task/sst2" not in run.points
    (run,) = READERS["tensorboard"](files)
    check(run, folder, spec)


def test_the_spec_and_the_weights_know_nothing_of_trackers(
    tmp_path: Path, corpus: Path, files: Path, untracked: Path
) -> None:
    folder = entromask.run(small_spec(corpus), tmp_path / "a", track=["tensorboard"]).folder
    assert weights(folder) == weights(untracked)
    assert (folder / "spec.yaml").read_bytes() == (untracked / "spec.yaml").read_bytes()
    (run,) = READERS["tensorboard"](files)
    assert run.points["training_loss"] == [
        (step, pytest.approx(loss)) for step, loss in told(untracked)["training_loss"]
    ]


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_written(
    tmp_path: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(DependencyMissingError, match="needs the package mlflow-skinny") as caught:
        entromask.run(small_spec(corpus), tmp_path / "refused", track=["mlflow"])
    assert caught.value.hint == "pip install mlflow-skinny"
    assert caught.value.exit_code == 2
    assert not (tmp_path / "refused").exists()


def test_an_unknown_tracker_is_refused_with_those_that_there_are(
    tmp_path: Path, corpus: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTROMASK_TRACKERS", "tensorboard, tensorbord")
    settings.cache_clear()
    with pytest.raises(InputError, match="no tracker 'tensorbord'; allowed: tensorboard, mlflow"):
        entromask.run(small_spec(corpus), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_wandb_without_a_key_is_refused_instead_of_asking_in_the_middle_of_a_run(
    tmp_path: Path, corpus: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(InputError, match="no key for Weights & Biases") as caught:
        entromask.run(small_spec(corpus), tmp_path / "refused", track=["wandb"])
    assert "WANDB_MODE=offline" in str(caught.value.hint)
    assert not (tmp_path / "refused").exists()


def warnings(folder: Path) -> list[str]:
    found = [event["message"] for event in events(folder) if event["type"] == "warning"]
    return [message for message in found if "tracker" in message]


def test_a_tracker_that_breaks_is_warned_of_once_and_the_run_goes_on(
    tmp_path: Path, corpus: Path, files: Path, untracked: Path
) -> None:
    files.write_text("a file where the trackers' folder should be")
    folder = entromask.run(small_spec(corpus), tmp_path / "a", track=["tensorboard"]).folder
    (warning,) = warnings(folder)
    assert warning.startswith("the tracker tensorboard gets no more: ")
    assert str(files) in warning
    assert weights(folder) == weights(untracked)
    assert events(folder)[-1]["type"] == "done"


class Library:
    """A tracker's library, as Accelerate would drive it."""

    def __init__(self, log: Callable[[dict[str, Any]], None]) -> None:
        self.log_values = log

    def start(self) -> None:
        return

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        return

    def log(self, values: dict[str, Any], step: int | None = None) -> None:
        self.log_values(values)

    def finish(self) -> None:
        return


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[dict[str, Any]], None]], None]:
    """Makes one the tracker `own`."""

    def use(log: Callable[[dict[str, Any]], None]) -> None:
        monkeypatch.setitem(TRACKERS, "own", Kind("own", "json", lambda run: Library(log)))

    return use


def test_a_tracker_that_hangs_does_not_hold_the_run_up(
    tmp_path: Path,
    corpus: Path,
    files: Path,
    untracked: Path,
    library: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    end = threading.Event()
    library(lambda values: end.wait())
    monkeypatch.setattr(tracking, "_FAREWELL_SECONDS", 0.2)
    results = entromask.run(small_spec(corpus), tmp_path / "a", track=["own"])
    end.set()
    assert warnings(results.folder) == [
        "the tracker own gets no more: it did not take the last of it within 0.2 s; is it away?"
    ]
    assert weights(results.folder) == weights(untracked)


def test_what_a_tracker_prints_does_not_come_between_the_events(
    tmp_path: Path,
    corpus: Path,
    files: Path,
    library: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed: list[dict[str, Any]] = []

    def log(values: dict[str, Any]) -> None:
        print("a banner of the tracker")
        printed.append(values)

    library(log)
    entromask.run(
        small_spec(corpus),
        tmp_path / "a",
        track=["own"],
        on_event=lambda event: print(json.dumps(event)),
    )
    print("the run is over")
    assert printed
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == "the run is over"
    assert [json.loads(line)["type"] for line in lines].count("metrics") == 3


def test_a_tracker_chosen_late_gets_what_was_before(
    tmp_path: Path, corpus: Path, files: Path, library: Any
) -> None:
    seen: list[dict[str, Any]] = []
    spec = small_spec(corpus)

    def stop(event: dict[str, Any]) -> None:
        if event.get("step") == 20 and event["type"] == "progress":
            raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        entromask.run(spec, tmp_path / "a", on_event=stop)
    library(lambda values: seen.append(values))
    entromask.run(spec, tmp_path / "a", resume=True, track=["own"])
    losses = [values["training_loss"] for values in seen if "training_loss" in values]
    assert losses == [loss for _, loss in told(tmp_path / "a")["training_loss"]]
    assert len(losses) == 3


def test_a_cancelled_run_is_cancelled_in_the_tracker(
    tmp_path: Path, corpus: Path, files: Path, library: Any
) -> None:
    seen: list[dict[str, Any]] = []
    library(lambda values: seen.append(values))

    def stop(event: dict[str, Any]) -> None:
        if event["type"] == "metrics":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entromask.run(small_spec(corpus), tmp_path / "a", on_event=stop, track=["own"])
    assert seen[-1] == {"status": "cancelled"}


def test_a_machine_that_only_reports_does_not_fail_for_want_of_a_tracker(
    tmp_path: Path, corpus: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entromask import pipeline

    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "spec.yaml").write_text(RunSpec.parse(small_spec(corpus)).resolved().to_yaml())
    pipeline.pretrain(folder)
    monkeypatch.setenv("ENTROMASK_TRACKERS", "trackio")
    monkeypatch.setitem(sys.modules, "trackio", None)
    settings.cache_clear()
    assert pipeline.report(folder).data["cost"]["steps"] == 30
    (warning,) = warnings(folder)
    assert "needs the package trackio, which is not installed" in warning

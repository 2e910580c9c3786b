from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from entromask import presets
from entromask.glue.evaluation import evaluate
from entromask.glue.floors import add_floors
from entromask.settings import settings
from entromask.spec import Evaluation, TaskSource


@pytest.fixture
def evaluation(glue_dir: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Evaluation:
    fast = presets.Protocol(1e-3, 1, 16, 0.1, 0.01, 32, 2)
    monkeypatch.setitem(presets.PROTOCOLS, "fixed", fast)
    return Evaluation(tasks=["rte", "blimp"], source=TaskSource(local=str(glue_dir)), seeds=[0, 1])


class Untrained:
    """Makes the untrained model, and counts how often it was asked to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = 0

    def __call__(self, place: Path) -> None:
        self.calls += 1
        shutil.copytree(self.folder, place)


def test_the_floor_is_the_score_of_the_untrained_model(
    make_folder: Callable[..., Path], evaluation: Evaluation, tmp_path: Path
) -> None:
    pretrained, untrained = make_folder(seed=1), make_folder(seed=2)
    tasks = evaluate(pretrained, evaluation, tmp_path / "run")
    expected = evaluate(untrained, evaluation, tmp_path / "floor")
    progress: list[tuple[int, int]] = []
    found = add_floors(
        tasks,
        pretrained,
        evaluation,
        Untrained(untrained),
        on_progress=lambda *step: progress.append(step),
    )
    assert list(found) == ["rte", "blimp"]
    for name, entry in found.items():
        assert entry["untrained_floor"] == expected[name]["score"]
        assert entry.get("untrained_converged") == expected[name].get("converged")
        floor = ("untrained_floor", "untrained_converged")
        assert {key: value for key, value in entry.items() if key not in floor} == tasks[name]
    assert progress[-1] == (200, 200)
    assert progress == sorted(progress)


def test_the_floor_is_measured_once_for_all_runs_of_a_setup(
    make_folder: Callable[..., Path], evaluation: Evaluation, tmp_path: Path
) -> None:
    make = Untrained(make_folder(seed=2))
    tasks = evaluate(make_folder(seed=1), evaluation, tmp_path)
    first = add_floors(tasks, make_folder(seed=1), evaluation, make)
    calls = make.calls
    # Another run of the same set-up: other weights, the same configuration.
    assert add_floors(tasks, make_folder(seed=3), evaluation, make) == first
    assert make.calls == calls > 0
    more = evaluation.model_copy(update={"seeds": [0, 1, 2]})
    add_floors(tasks, make_folder(seed=1), more, make)
    assert make.calls > calls


def test_a_damaged_floor_is_measured_again_and_a_killed_one_is_continued(
    make_folder: Callable[..., Path], evaluation: Evaluation, tmp_path: Path
) -> None:
    make = Untrained(make_folder(seed=2))
    folder = make_folder(seed=1)
    tasks = evaluate(folder, evaluation, tmp_path)
    first = add_floors(tasks, folder, evaluation, make)
    [*summaries] = (settings().cache / "floors").rglob("floors.json")
    summaries[0].write_text("{")
    summaries[1].unlink()
    assert add_floors(tasks, folder, evaluation, make) == first
    left = [file.name for file in (settings().cache / "floors").rglob("untrained-*")]
    assert left == []

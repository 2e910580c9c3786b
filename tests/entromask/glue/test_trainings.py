"""What fine-tunings share: the model of MNLI that others start from; and what else they record."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entromask.errors import InputError
from entromask.glue import protocols, trainings
from entromask.glue.cells import kept_cell
from entromask.glue.evaluation import evaluate
from entromask.glue.fine_tuning import load_classifier
from entromask.glue.floors import _key, measure_floors
from entromask.parts.evaluation import Evaluation, TaskSource
from entromask.presets import PROTOCOLS
from entromask.spec import RunSpec

from .conftest import two_class_rows, write_rows

PAIR, NLI = ("sentence1", "sentence2"), ("premise", "hypothesis")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    search = {"learning_rate": 1e-3, "rate_factors": (1e-6, 1.0, 1e6)}
    short = {"epochs": 2, "min_steps": 0, "batch_size": 16, "max_length": 32}
    for name, protocol in PROTOCOLS.items():
        changed = replace(protocol, **short, **(search if name == "search" else {}))
        monkeypatch.setitem(PROTOCOLS, name, changed)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """Every training, as (task, seed, folder that it starts from)."""
    seen: list[tuple[str, int, str]] = []
    real = protocols.train_by_protocol

    def train(
        model_dir: Path, task: Any, rows: Any, protocol: Any, seed: int, *rest: Any, **more: Any
    ) -> Any:
        seen.append((task.name, seed, model_dir.name))
        return real(model_dir, task, rows, protocol, seed, *rest, **more)

    monkeypatch.setattr(trainings, "train_by_protocol", train)
    return seen


def make(glue_dir: Path, tasks: list[str], *seeds: int, **more: Any) -> Evaluation:
    return Evaluation(
        tasks=tasks, source=TaskSource(local=str(glue_dir)), seeds=list(seeds), **more
    )


def run(model_dir: Path, evaluation: Evaluation, folder: Path) -> dict[str, Any]:
    return evaluate(model_dir, evaluation, folder)


@pytest.mark.slow
def test_small_tasks_start_from_the_model_of_mnli_with_their_seed(
    model_dir: Path, glue_dir: Path, tmp_path: Path, trained: list[Any]
) -> None:
    evaluation = make(glue_dir, ["rte", "stsb"], 0, 3, intermediate="mnli")
    tasks = run(model_dir, evaluation, tmp_path / "with")
    assert trained == [
        ("mnli", 0, model_dir.name),
        ("rte", 0, "mnli-seed0"),
        ("mnli", 3, model_dir.name),
        ("rte", 3, "mnli-seed3"),
        ("stsb", 0, "mnli-seed0"),
        ("stsb", 3, "mnli-seed3"),
    ]
    assert tasks["rte"]["intermediate"] == tasks["stsb"]["intermediate"] == "mnli"
    assert "mnli" not in tasks
    plain = run(model_dir, make(glue_dir, ["rte", "stsb"], 0, 3), tmp_path / "without")
    assert "intermediate" not in plain["rte"]
    for name in ("rte", "stsb"):
        one, other = (kept_cell(tmp_path / w / f"{name}-seed3.json") for w in ("with", "without"))
        assert one is not None
        assert other is not None
        assert one["predictions"] != other["predictions"]


def test_mnli_itself_is_that_model_and_scores_what_it_does_alone(
    model_dir: Path, glue_dir: Path, tmp_path: Path, trained: list[Any]
) -> None:
    evaluation = make(glue_dir, ["mnli", "rte", "ax"], 0, intermediate="mnli")
    together = run(model_dir, evaluation, tmp_path / "with")
    assert [name for name, *_ in trained] == ["mnli", "rte"]
    alone = run(model_dir, make(glue_dir, ["mnli", "ax"], 0), tmp_path / "without")
    for name in ("mnli", "ax"):
        assert together[name] == alone[name]
        one, other = (
            (tmp_path / w / f"{name}-seed0.json").read_bytes() for w in ("with", "without")
        )
        assert one == other


def test_other_tasks_are_fine_tuned_as_ever(
    model_dir: Path, glue_dir: Path, tmp_path: Path, trained: list[Any]
) -> None:
    write_rows(tmp_path / "own/train.jsonl", two_class_rows(20, PAIR))
    write_rows(tmp_path / "own/validation.jsonl", two_class_rows(6, PAIR))
    own = {"mine": {"path": str(tmp_path / "own"), "columns": list(PAIR), "labels": 2}}
    evaluation = Evaluation.model_validate(
        {
            "tasks": ["mine", "rte"],
            "user_tasks": own,
            "source": {"local": str(glue_dir)},
            "seeds": [0],
            "intermediate": "mnli",
        }
    )
    run(model_dir, evaluation, tmp_path / "run")
    assert ("mine", 0, model_dir.name) in trained


def test_workers_at_the_same_time_train_mnli_once(
    model_dir: Path, glue_dir: Path, tmp_path: Path, trained: list[Any]
) -> None:
    cells = [
        make(glue_dir, [task], 0, intermediate="mnli")
        if task != "mnli"
        else make(glue_dir, ["rte"], 0, intermediate="mnli").model_copy(update={"tasks": ["mnli"]})
        for task in ("rte", "stsb", "mnli")
    ]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda cell: run(model_dir, cell, tmp_path / "run"), cells))
    assert [name for name, *_ in trained].count("mnli") == 1
    assert [path.name for path in (tmp_path / "run/intermediate").glob("*.building")] == []


@pytest.mark.parametrize("damage", ["weights", "record", "cut"])
def test_a_shared_model_that_is_damaged_is_trained_again(
    model_dir: Path, glue_dir: Path, tmp_path: Path, trained: list[Any], damage: str
) -> None:
    evaluation = make(glue_dir, ["rte"], 0, intermediate="mnli")
    run(model_dir, evaluation, tmp_path)
    whole = (tmp_path / "rte-seed0.json").read_bytes()
    (tmp_path / "rte-seed0.json").unlink()
    folder = tmp_path / "intermediate/mnli-seed0"
    file = folder / ("record.json" if damage == "record" else "model.safetensors")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content[:-8] if damage == "cut" else content)
    trained.clear()
    run(model_dir, evaluation, tmp_path)
    assert [name for name, *_ in trained] == ["mnli", "rte"]
    assert (tmp_path / "rte-seed0.json").read_bytes() == whole
    trained.clear()
    (tmp_path / "rte-seed0.json").unlink()
    run(model_dir, evaluation, tmp_path)
    assert [name for name, *_ in trained] == ["rte"]


def test_results_without_the_start_or_with_other_rows_of_mnli_are_not_taken_over(
    model_dir: Path, glue_dir: Path, tmp_path: Path, trained: list[Any]
) -> None:
    folder = tmp_path / "run"
    run(model_dir, make(glue_dir, ["rte"], 0), folder)
    evaluation = make(glue_dir, ["rte"], 0, intermediate="mnli")
    run(model_dir, evaluation, folder)
    write_rows(tmp_path / "glue/mnli/train.jsonl", two_class_rows(30, NLI, 3))
    for split in ("validation_matched", "validation_mismatched"):
        write_rows(tmp_path / f"glue/mnli/{split}.jsonl", two_class_rows(9, NLI, 3))
    source = TaskSource(local=[str(tmp_path / "glue"), str(glue_dir)])
    trained.clear()
    run(model_dir, evaluation.model_copy(update={"source": source}), folder)
    assert [name for name, *_ in trained] == ["mnli", "rte"]


@pytest.mark.parametrize("protocol", ["search", "paper-cards"])
def test_what_a_protocol_chooses_is_chosen_for_both_trainings(
    model_dir: Path, glue_dir: Path, tmp_path: Path, protocol: Any
) -> None:
    steps: list[tuple[int, int]] = []
    evaluation = make(glue_dir, ["rte", "mnli"], 0, 3, intermediate="mnli", protocol=protocol)
    tasks = evaluate(
        model_dir, evaluation, tmp_path / "all", on_progress=lambda *step: steps.append(step)
    )
    assert steps == sorted(steps)
    key = "selection" if protocol == "search" else "stopping"
    assert key in tasks["rte"]
    assert key in tasks["mnli"]
    alone = run(
        model_dir, evaluation.model_copy(update={"tasks": ["rte"], "seeds": [3]}), tmp_path / "one"
    )
    assert (tmp_path / "one/rte-seed3.json").read_bytes() == (
        tmp_path / "all/rte-seed3.json"
    ).read_bytes()
    assert alone["rte"]["intermediate"] == "mnli"


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "electra", "modernbert"])
def test_all_but_the_output_layer_of_a_classifier_is_taken_over(
    make_folder: Callable[..., Path], tmp_path: Path, architecture: str
) -> None:
    import torch

    torch.manual_seed(0)
    three = load_classifier(make_folder(architecture), 3)
    three.save_pretrained(tmp_path)
    torch.manual_seed(1)
    two = load_classifier(tmp_path, 2)
    torch.manual_seed(1)
    again = load_classifier(tmp_path, 2)
    before, after, repeated = (dict(m.named_parameters()) for m in (three, two, again))
    changed = {n for n in before if before[n].shape != after[n].shape}
    assert changed == {n for n in before if before[n].shape[0] == 3}
    assert len(changed) == 2
    for name, values in after.items():
        assert torch.equal(values, repeated[name])
        if name not in changed:
            assert torch.equal(values, before[name])
    same = dict(load_classifier(tmp_path, 3).named_parameters())
    assert all(torch.equal(same[name], before[name]) for name in before)


def test_floors_are_those_without_the_start(
    model_dir: Path,
    make_folder: Callable[..., Path],
    glue_dir: Path,
    home: Path,
    trained: list[Any],
) -> None:
    import shutil

    untrained = make_folder(seed=2)
    made: list[Path] = []

    def make_untrained(place: Path) -> None:
        made.append(place)
        shutil.copytree(untrained, place)

    start = make(glue_dir, ["rte"], 0, intermediate="mnli")
    floors = measure_floors(model_dir, start, make_untrained)
    assert [name for name, *_ in trained] == ["rte"]
    # Shared with runs that do without.
    assert measure_floors(model_dir, make(glue_dir, ["rte"], 0), make_untrained) == floors
    assert len(made) == 1


def test_fewer_training_rows_are_used_and_said(
    model_dir: Path, glue_dir: Path, tmp_path: Path
) -> None:
    few = make(glue_dir, ["rte"], 0, max_train_rows=16)
    tasks = run(model_dir, few, tmp_path / "run")
    assert tasks["rte"]["train_rows"] == {"used": 16, "of": 48}
    seen: list[str] = []
    evaluate(
        model_dir,
        make(glue_dir, ["rte"], 0),
        tmp_path / "run",
        on_result=lambda task, *_: seen.append(task),
        on_message=lambda _: None,
    )
    assert seen == ["rte"]
    keys = {_key({}, make(glue_dir, ["rte"], 0, max_train_rows=n)) for n in (None, 16, 48)}
    assert len(keys) == 2


def test_test_splits_are_predicted_and_kept_with_the_result(
    model_dir: Path, glue_dir: Path, tmp_path: Path
) -> None:
    rows = [{"sentence1": f"the cat {n}", "sentence2": "a dog"} for n in range(7)]
    write_rows(tmp_path / "glue/rte/train.jsonl", two_class_rows(48, PAIR))
    write_rows(tmp_path / "glue/rte/validation.jsonl", two_class_rows(17, PAIR))
    # Rows of the validation split: their predictions must be the same.
    write_rows(tmp_path / "glue/rte/test.jsonl", [*two_class_rows(17, PAIR), *rows])
    source = {"local": str(tmp_path / "glue")}
    plain = Evaluation.model_validate({"tasks": ["rte"], "source": source, "seeds": [0]})
    tested = plain.model_copy(update={"predict_test": True})
    first = run(model_dir, plain, tmp_path / "run")
    assert run(model_dir, tested, tmp_path / "run") == first
    cell = kept_cell(tmp_path / "run/rte-seed0.json")
    assert cell is not None
    kept = cell["test_predictions"]["test"]
    assert len(kept) == 24
    for one, other in zip(kept, cell["predictions"]["validation"], strict=False):
        assert one == pytest.approx(other, abs=1e-4)
    write_rows(tmp_path / "glue/rte/test.jsonl", two_class_rows(3, PAIR))
    run(model_dir, tested, tmp_path / "run")
    cell = kept_cell(tmp_path / "run/rte-seed0.json")
    assert cell is not None
    assert len(cell["test_predictions"]["test"]) == 3


def test_ax_without_labels_is_predicted_and_said_not_scored(
    model_dir: Path, glue_dir: Path, tmp_path: Path, home: Path
) -> None:
    rows = [{**row, "label": -1} for row in two_class_rows(9, NLI)]
    write_rows(tmp_path / "glue/ax/test.jsonl", rows)
    source = TaskSource(local=[str(tmp_path / "glue"), str(glue_dir)])
    evaluation = make(glue_dir, ["ax", "mnli"], 0).model_copy(update={"source": source})
    said: list[str] = []
    tasks = evaluate(model_dir, evaluation, tmp_path / "run", on_message=said.append)
    assert list(tasks) == ["mnli"]
    assert list(tasks["mnli"]["metrics"]) == ["accuracy_matched", "accuracy_mismatched"]
    sentence = "ax has no score: its rows have no labels (all are -1), and are only predicted"
    assert said.count(sentence) == 1
    cell = kept_cell(tmp_path / "run/ax-seed0.json")
    assert cell is not None
    assert len(cell["test_predictions"]["test"]) == 9
    assert evaluate(model_dir, evaluation, tmp_path / "run", on_message=pytest.fail) == tasks
    with_labels = run(model_dir, make(glue_dir, ["ax"], 0), tmp_path / "labelled")
    assert set(with_labels["ax"]["metrics"]) == {"matthews_correlation"}
    calls: list[Path] = []

    def make_untrained(place: Path) -> None:
        import shutil

        calls.append(place)
        shutil.copytree(model_dir, place)

    assert set(measure_floors(model_dir, evaluation, make_untrained)) == {"mnli"}
    only = evaluation.model_copy(update={"tasks": ["ax"]})
    assert measure_floors(model_dir, only, make_untrained) == {}
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("evaluation", "words"),
    [
        ({"tasks": ["cola"], "intermediate": "mnli"}, "names none of them"),
        ({"tasks": ["rte"], "intermediate": "mnli", "protocol": "frozen"}, "frozen"),
        ({"tasks": ["rte"], "intermediate": "qqp"}, "should be 'mnli'"),
        ({"max_train_rows": 1}, "max_train_rows"),
    ],
)
def test_options_that_do_nothing_are_refused(evaluation: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        RunSpec.parse({"evaluation": evaluation})


def test_the_record_lies_beside_the_shared_model(
    model_dir: Path, glue_dir: Path, tmp_path: Path
) -> None:
    run(model_dir, make(glue_dir, ["rte"], 0, intermediate="mnli"), tmp_path)
    folder = tmp_path / "intermediate/mnli-seed0"
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {
        f.name for f in folder.iterdir()
    }
    record = json.loads((folder / "record.json").read_text())["result"]["record"]
    assert list(record) == ["training"]
    assert record["training"]["learning_rate"] == 1e-3

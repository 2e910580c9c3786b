from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from entromask import presets
from entromask.errors import InputError
from entromask.glue.data import load_task
from entromask.glue.evaluation import averages, evaluate, majority_floor
from entromask.glue.tasks import GLUE8, GLUE9
from entromask.spec import Evaluation, TaskSource

Seen = list[tuple[str, int | None]]


@pytest.fixture(autouse=True)
def short_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = presets.Protocol(1e-3, 1, 16, 0.1, 0.01, 32, 2)
    monkeypatch.setitem(presets.PROTOCOLS, "fixed", fast)


@pytest.fixture
def evaluation(glue_dir: Path) -> Evaluation:
    return Evaluation(
        tasks=["rte", "blimp", "stsb"], source=TaskSource(local=str(glue_dir)), seeds=[0, 3]
    )


def run(model_dir: Path, evaluation: Evaluation, folder: Path) -> tuple[dict[str, Any], Seen]:
    seen: Seen = []
    tasks = evaluate(
        model_dir,
        evaluation,
        folder,
        on_result=lambda task, seed, _: seen.append((task, seed)),
    )
    return tasks, seen


def test_the_table_has_what_results_json_promises(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    tasks, seen = run(model_dir, evaluation, tmp_path)
    assert list(tasks) == ["rte", "blimp", "stsb"]
    assert seen == [("rte", 0), ("rte", 3), ("blimp", None), ("stsb", 0), ("stsb", 3)]
    rte = tasks["rte"]
    accuracy = rte["metrics"]["accuracy"]
    assert list(accuracy["per_seed"]) == ["0", "3"]
    first, second = accuracy["per_seed"].values()
    assert accuracy["mean"] == rte["score"] == pytest.approx((first + second) / 2)
    assert accuracy["sd"] == pytest.approx(abs(first - second) / 2**0.5)
    assert rte["rows"] == 17
    assert rte["majority_floor"] == 9 / 17
    stsb = tasks["stsb"]
    means = [metric["mean"] for metric in stsb["metrics"].values()]
    assert stsb["score"] == pytest.approx(sum(means) / 2)
    assert json.loads(json.dumps(tasks)) == tasks


def test_blimp_is_scored_once_with_its_paradigms_and_pairs(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    some = evaluation.model_copy(update={"tasks": ["blimp"], "blimp_pairs": 4})
    blimp = run(model_dir, some, tmp_path)[0]["blimp"]
    assert blimp["pairs"] == {"used": 12, "of": 18}
    assert blimp["rows"] == 12
    assert set(blimp["paradigms"]) == {"paradigm_0", "paradigm_1", "paradigm_2"}
    assert set(blimp["phenomena"]) == {"argument_structure", "binding"}
    assert blimp["metrics"]["accuracy"] == {"mean": blimp["score"], "sd": 0.0, "per_seed": {}}
    assert blimp["majority_floor"] == 0.5


def test_one_seed_has_no_spread(model_dir: Path, evaluation: Evaluation, tmp_path: Path) -> None:
    one = evaluation.model_copy(update={"tasks": ["rte"], "seeds": [5]})
    assert run(model_dir, one, tmp_path)[0]["rte"]["metrics"]["accuracy"]["sd"] == 0.0


def test_a_resumed_evaluation_does_only_what_is_missing(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    whole, _ = run(model_dir, evaluation, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    (tmp_path / "rte-seed3.json").unlink()
    (tmp_path / "blimp.json").unlink()
    again, seen = run(model_dir, evaluation, tmp_path)
    assert seen == [("rte", 3), ("blimp", None)]
    assert again == whole
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    more = evaluation.model_copy(update={"seeds": [0, 3, 4]})
    assert run(model_dir, more, tmp_path)[1] == [("rte", 4), ("stsb", 4)]


def test_each_result_is_on_disk_before_the_next_begins(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    def stop(task: str, seed: int | None, _: Any) -> None:
        if (task, seed) == ("rte", 3):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(model_dir, evaluation, tmp_path, on_result=stop)
    assert {file.name for file in tmp_path.iterdir()} == {"rte-seed0.json", "rte-seed3.json"}
    assert run(model_dir, evaluation, tmp_path)[1][0] == ("blimp", None)


@pytest.mark.parametrize("damage", ["", "{", "[]", "null", "cut", "changed"])
def test_a_damaged_file_is_said_and_computed_again(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path, damage: str
) -> None:
    one = evaluation.model_copy(update={"tasks": ["rte"]})
    run(model_dir, one, tmp_path)
    file = tmp_path / "rte-seed0.json"
    whole = file.read_text()
    contents = {"cut": whole[:-10], "changed": whole.replace('"rows": 17', '"rows": 18')}
    file.write_text(contents.get(damage, damage))
    said: list[str] = []
    seen: Seen = []
    evaluate(
        model_dir,
        one,
        tmp_path,
        on_result=lambda task, seed, _: seen.append((task, seed)),
        on_message=said.append,
    )
    assert seen == [("rte", 0)]
    # Rows are cut at this protocol's 32 tokens, and that is told as well.
    said = [message for message in said if "longer than the model reads" not in message]
    assert len(said) == 1
    assert "rte-seed0.json is damaged" in said[0]
    assert file.read_text() == whole


def test_results_of_another_model_or_other_data_are_not_taken_over(
    model_dir: Path,
    make_folder: Callable[..., Path],
    evaluation: Evaluation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = evaluation.model_copy(update={"tasks": ["rte"], "seeds": [0]})
    run(model_dir, one, tmp_path)
    assert run(model_dir, one, tmp_path)[1] == []
    assert run(make_folder(seed=1), one, tmp_path)[1] == [("rte", 0)]
    longer = presets.Protocol(1e-3, 1, 16, 0.1, 0.01, 32, 3)
    monkeypatch.setitem(presets.PROTOCOLS, "fixed", longer)
    assert run(make_folder(seed=1), one, tmp_path)[1] == [("rte", 0)]


def test_ax_is_scored_by_the_model_of_mnli(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    together = evaluation.model_copy(update={"tasks": ["ax", "mnli"], "seeds": [0]})
    tasks, seen = run(model_dir, together, tmp_path / "together")
    assert sorted(seen) == [("ax", 0), ("mnli", 0)]
    assert list(tasks) == ["ax", "mnli"]
    assert set(tasks["ax"]["metrics"]) == {"matthews_correlation"}
    alone = together.model_copy(update={"tasks": ["ax"]})
    assert run(model_dir, alone, tmp_path / "alone")[0]["ax"] == tasks["ax"]


def test_progress_rises_to_the_end_and_counts_what_was_there(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    def steps() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        evaluate(model_dir, evaluation, tmp_path, on_progress=lambda *s: seen.append(s))
        return seen

    first = steps()
    assert first[-1] == (500, 500)
    assert [done for done, _ in first] == sorted(done for done, _ in first)
    assert any(0 < done < 100 for done, _ in first)
    assert steps()[-1] == (500, 500)


def test_bad_input_is_refused_before_anything_is_written(
    model_dir: Path, evaluation: Evaluation, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no model"):
        evaluate(tmp_path / "none", evaluation, tmp_path / "out")
    missing = evaluation.model_copy(update={"tasks": ["rte", "wnli"]})
    with pytest.raises(InputError, match="wnli"):
        evaluate(model_dir, missing, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "floor"),
    [
        ("cola", 0.0),
        ("mrpc", (0.6838 + 0.8122) / 2),
        ("rte", 0.5271),
        ("stsb", 0),
        ("wnli", 0.5634),
    ],
)
def test_the_majority_floors_of_the_official_sets(
    shared_data: Path, name: str, floor: float
) -> None:
    data = load_task(name, TaskSource(local=str(shared_data / "glue")))
    assert majority_floor(data) == pytest.approx(floor, abs=1e-4)


def test_the_majority_floor_of_mnli_is_the_mean_of_its_splits(glue_dir: Path) -> None:
    data = load_task("mnli", TaskSource(local=str(glue_dir)))
    assert majority_floor(data) == pytest.approx((4 / 12 + 5 / 15) / 2)


@pytest.mark.slow
def test_seeds_at_the_majority_floor_are_counted_as_collapsed(
    make_folder: Callable[..., Path],
    evaluation: Evaluation,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = evaluation.model_copy(update={"tasks": ["rte"], "seeds": [0, 1, 2, 3, 4, 5]})
    still = presets.Protocol(1e-9, 1, 16, 0.1, 0.01, 32, 1)
    monkeypatch.setitem(presets.PROTOCOLS, "fixed", still)
    entry = run(make_folder(), one, tmp_path / "still")[0]["rte"]
    at_floor = sum(value <= 9 / 17 for value in entry["per_seed"].values())
    assert entry["collapsed"] == at_floor > 0
    learned = presets.Protocol(1e-3, 8, 8, 0.1, 0.01, 32, None)
    monkeypatch.setitem(presets.PROTOCOLS, "fixed", learned)
    assert run(make_folder(), one, tmp_path / "learned")[0]["rte"]["collapsed"] == 0


def test_a_mean_is_given_only_over_all_of_its_tasks() -> None:
    scores = {name: {"score": place / 10} for place, name in enumerate(GLUE9)}
    whole = averages(scores)
    assert whole["glue9"] == pytest.approx(0.4)
    eight = [scores[name]["score"] for name in GLUE8]
    assert whole["glue8"] == pytest.approx(sum(eight) / 8)
    del scores["wnli"]
    assert averages(scores)["glue9"] is None
    assert averages(scores)["glue8"] is not None
    del scores["rte"]
    assert averages(scores)["glue8"] is None
    assert averages(scores)["available"]["tasks"] == [n for n in GLUE9 if n not in ("wnli", "rte")]


def test_blimp_ax_and_demo_tasks_are_never_counted_as_glue() -> None:
    others = {name: {"score": 0.9} for name in ("blimp", "ax", "demo-order", "demo-pair")}
    found = averages({"rte": {"score": 0.5}, **others})
    assert found["available"] == {"tasks": ["rte"], "value": 0.5}
    assert found["demo"]["tasks"] == ["demo-order", "demo-pair"]
    assert averages({}) == {
        "glue8": None,
        "glue9": None,
        "available": {"tasks": [], "value": None},
        "demo": {"tasks": [], "value": None},
    }


def test_what_is_cut_or_unknown_is_in_the_table_and_told_once(
    make_folder: Callable[..., Path],
    tokenizer: PreTrainedTokenizerBase,
    glue_dir: Path,
    tmp_path: Path,
) -> None:
    task = load_task("rte", TaskSource(local=str(glue_dir)))
    rows = [
        pair
        for split in ("train", "validation")
        for pair in zip(*(task.splits[split][name] for name in task.task.columns), strict=True)
    ]
    lengths = [len(tokenizer(*pair)["input_ids"]) for pair in rows]
    cut = [length - 16 for length in lengths if length > 16]
    assert 0.05 < len(cut) / len(rows) < 1
    told: list[str] = []
    evaluation = Evaluation(tasks=["rte"], source=TaskSource(local=str(glue_dir)), seeds=[0, 3])
    model = make_folder("bert", length=16)
    for _ in range(2):  # computed, then read back
        found = evaluate(model, evaluation, tmp_path, on_message=told.append)["rte"]
        assert found["truncated_row_share"] == len(cut) / len(rows)
        assert found["truncated_token_share"] == sum(cut) / (sum(lengths) - 3 * len(rows))
        assert found["unknown_token_share"] == 0.0
    (warning,) = told
    assert "of the rows of rte are longer than the model reads" in warning

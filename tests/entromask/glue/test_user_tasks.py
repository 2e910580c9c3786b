"""Tasks of the user's own: what a spec may say of them, and how they are evaluated."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from entromask import presets
from entromask.errors import InputError
from entromask.glue.data import check_tasks, load_for
from entromask.glue.evaluation import averages, evaluate
from entromask.glue.floors import measure_floors
from entromask.glue.plan import Cell, plan
from entromask.hub import names_hub
from entromask.parts.evaluation import Evaluation
from entromask.rest.specs import to_send
from entromask.spec import RunSpec
from tests.entromask.text.containers import table

from .conftest import WORDS, Rows, sentence, write_rows

STARS = ("1", "3", "5")


def texts(count: int, label: Callable[[int], Any]) -> Rows:
    return [
        {
            "text": f"{WORDS[row % 3]} {sentence(row, 2 + row % 6)}",
            "other": sentence(row),
            "label": label(row),
        }
        for row in range(count)
    ]


def write_task(folder: Path, label: Callable[[int], Any]) -> Path:
    write_rows(folder / "train.jsonl", texts(48, label))
    write_rows(folder / "dev.jsonl.gz", texts(17, label))
    write_rows(folder / "holdout.jsonl", [{"text": row["text"]} for row in texts(5, label)])
    return folder


def spec_of(folder: Path, **changes: Any) -> RunSpec:
    task = {"path": str(folder), "columns": ["text"], "labels": 3, "split": "dev"} | changes
    return RunSpec.parse({"evaluation": {"tasks": ["mine"], "user_tasks": {"mine": task}}})


def evaluation_of(folder: Path, **changes: Any) -> Evaluation:
    return spec_of(folder, **changes).evaluation


@pytest.fixture
def short_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = presets.Protocol(1e-3, 8, 8, 0.1, 0.01, 32, None)
    monkeypatch.setitem(presets.PROTOCOLS, "fixed", protocol)


@pytest.mark.parametrize(
    ("labels", "label", "metrics", "columns"),
    [
        (3, lambda row: row % 3, [], ["text"]),
        (3, lambda row: row % 3, ["f1_macro", "matthews_correlation"], ["text", "other"]),
        (list(STARS), lambda row: STARS[row % 3], ["accuracy"], ["text"]),
        # Numbers in the file, unquoted in the spec.
        ([1, 3, 5], lambda row: int(STARS[row % 3]), ["accuracy"], ["text"]),
        (["no", "yes"], lambda row: ("no", "yes")[row % 3 == 1], ["accuracy", "f1"], ["text"]),
        ("number", lambda row: -2.5 * (row % 3), [], ["other", "text"]),
    ],
)
def test_a_task_from_files_is_learned_and_reported(
    model_dir: Path,
    tmp_path: Path,
    short_protocol: None,
    labels: Any,
    label: Callable[[int], Any],
    metrics: list[str],
    columns: list[str],
) -> None:
    folder = write_task(tmp_path / "data", label)
    evaluation = evaluation_of(folder, labels=labels, metrics=metrics, columns=columns)
    evaluation = evaluation.model_copy(update={"seeds": [4]})
    entry = evaluate(model_dir, evaluation, tmp_path / "run")["mine"]
    regression = labels == "number"
    assert list(entry["metrics"]) == (
        metrics or (["pearson", "spearmanr"] if regression else ["accuracy"])
    )
    assert entry["rows"] == 17
    assert entry["score"] > 0.9 > entry["majority_floor"]
    assert (tmp_path / "run/mine-seed4.json").is_file()


@pytest.mark.slow
def test_a_user_task_has_cells_and_a_floor_and_is_in_no_glue_mean(
    model_dir: Path, make_folder: Callable[..., Path], tmp_path: Path, home: Path
) -> None:
    write_task(tmp_path / "data", lambda row: row % 3)
    evaluation = evaluation_of(tmp_path / "data").model_copy(update={"seeds": [0]})
    assert plan(evaluation) == [Cell(("mine",), 0), Cell(("mine",), floor=True)]
    untrained = make_folder(seed=2)

    def make_untrained(place: Path) -> None:
        shutil.copytree(untrained, place)

    floors = measure_floors(model_dir, evaluation, make_untrained)
    assert 0 <= floors["mine"].score <= 1
    found = averages({"rte": {"score": 0.5}, "mine": {"score": 0.9}})
    assert found["available"] == {"tasks": ["rte"], "value": 0.5}
    assert found["user"] == {"tasks": ["mine"], "value": 0.9}
    assert found["demo"]["tasks"] == []


def test_what_a_result_depends_on_is_in_its_fingerprint(tmp_path: Path) -> None:
    folder = write_task(tmp_path, lambda row: row % 2)
    variants: list[dict[str, Any]] = [
        {},
        {"labels": 2},
        {"labels": 2, "metrics": ["f1"]},
        {"labels": 2, "columns": ["other"]},
    ]
    prints = {load_for(evaluation_of(folder, **one), "mine").fingerprint for one in variants}
    assert len(prints) == len(variants)


def test_only_the_named_test_split_is_predicted(
    model_dir: Path, tmp_path: Path, short_protocol: None
) -> None:
    folder = write_task(tmp_path / "data", lambda row: row % 3)

    def predicted(**changes: Any) -> tuple[str, ...]:
        evaluation = evaluation_of(folder, **changes).model_copy(update={"predict_test": True})
        return load_for(evaluation, "mine").test

    assert predicted() == ()
    assert predicted(test="holdout") == ("holdout",)
    with pytest.raises(InputError, match="'nothing' is missing"):
        predicted(test="nothing")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": 2}, "dev.jsonl.gz, line 3 has the label 2; a label of mine is one of 0, 1"),
        ({"labels": ["a", "b"]}, "line 1 has the label 0; a label of mine is one of a, b"),
        ({"columns": ["txt"]}, "has no column 'txt'; it has: text, other, label"),
        ({"train": "trane"}, "split 'trane' is missing"),
        ({"split": "validation"}, "split 'validation' is missing"),
        ({"path": "/nowhere/at/all"}, "no folder /nowhere/at/all"),
    ],
)
def test_files_that_do_not_fit_are_named_before_anything_runs(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    write_task(tmp_path, lambda row: row % 3)
    with pytest.raises(InputError, match=words) as caught:
        check_tasks(evaluation_of(tmp_path, **changes))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": 1}, "labels are a number of classes"),
        ({"labels": True}, "labels are a number of classes"),
        ({"labels": ["a", "a"]}, "at least two different names"),
        ({"labels": [True, "b"]}, "names such as 'yes' need quotes"),
        ({"labels": "words"}, "'number' for a regression"),
        ({"metrics": ["bleu"]}, "no metric 'bleu' for classes; allowed: accuracy, f1, f1_macro"),
        ({"metrics": ["f1"]}, "use f1_macro"),
        ({"metrics": ["accuracy", "accuracy"]}, "counts once"),
        ({"labels": "number", "metrics": ["accuracy"]}, "no metric 'accuracy' for a regression"),
        ({"columns": ["text", "text"]}, "columns must be different"),
        ({"columns": ["label"]}, "`label` is the labels'"),
        ({"columns": []}, "columns"),
        ({"columns": ["a", "b", "c"]}, "columns"),
        ({"split": "../../secret"}, "a split is the beginning of a file's name"),
        ({"test": "a/b"}, "a split is the beginning of a file's name"),
        ({"train": "dev"}, "must be different"),
        ({"split": "train", "train": "other"}, "only the first may be called train"),
        ({"colums": ["text"]}, "did you mean 'columns'"),
    ],
)
def test_what_a_user_task_cannot_be_is_said_in_one_sentence(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        spec_of(Path("/data"), **changes)
    assert "evaluation.user_tasks.mine" in caught.value.message


@pytest.mark.parametrize("name", ["rte", "blimp", "user", "glue8", "a/b", "..", "A", "", "x" * 41])
def test_a_name_is_free_and_fits_a_file(name: str) -> None:
    task = {"path": "/d", "columns": ["text"], "labels": 2}
    with pytest.raises(InputError, match=r"another name|cannot be called"):
        RunSpec.parse({"evaluation": {"user_tasks": {name: task}}})


def test_a_task_that_nobody_defines_is_refused_with_those_there_are() -> None:
    task = {"path": "/d", "columns": ["text"], "labels": 2}
    with pytest.raises(InputError, match=r"no task 'yours'; allowed: cola.* mine"):
        RunSpec.parse({"evaluation": {"tasks": ["yours"], "user_tasks": {"mine": task}}})


def test_new_keys_are_dumped_only_where_they_are_used(tmp_path: Path) -> None:
    keys = {"user_tasks", "max_train_rows", "intermediate", "predict_test"}
    assert not keys & set(RunSpec().data()["evaluation"])
    assert RunSpec().spec_hash == RunSpec.parse({"evaluation": {"user_tasks": {}}}).spec_hash
    spec = spec_of(tmp_path, labels=["a", "b"])
    assert set(spec.data()["evaluation"]) & keys == {"user_tasks"}
    assert RunSpec.parse(spec.data()) == spec
    assert spec.spec_hash != RunSpec.parse({"evaluation": {}}).spec_hash


def test_the_path_is_made_absolute_on_the_way_to_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = to_send(spec_of(Path("data")))
    assert sent["evaluation"]["user_tasks"]["mine"]["path"] == str(tmp_path / "data")


def test_the_example_of_the_documentation_is_a_valid_spec() -> None:
    page = Path(__file__).parents[3] / "docs" / "tasks.md"
    [example] = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    evaluation = RunSpec.parse(yaml.safe_load(example)).evaluation
    assert evaluation.task("reviews").label_names == ("negative", "positive")
    assert evaluation.task("similarity").metrics == ("pearson", "spearmanr")


def test_a_user_task_asks_nothing_of_the_hub() -> None:
    spec = spec_of(Path("/data"))
    assert not names_hub(spec)
    more = spec.evaluation.model_copy(update={"tasks": ["mine", "rte"]})
    assert names_hub(spec.model_copy(update={"evaluation": more}))


BOOLEANS: dict[str, tuple[str, list[Any]]] = {
    "jsonl": (".jsonl", [True, False]),
    "jsonl-text": (".jsonl", ["true", "False"]),
    "json": (".json", [True, False]),
    "csv": (".csv", [True, False]),  # written by the module csv, as True and False
    "csv-capitals": (".csv", ["TRUE", "FALSE"]),
    "tsv": (".tsv", ["true", "false"]),
    "parquet": (".parquet", [True, False]),
    "parquet-numpy": (".parquet", list(np.array([True, False]))),
}


@pytest.mark.parametrize("case", BOOLEANS)
@pytest.mark.parametrize(
    ("labels", "numbers"),
    [
        (2, [1, 0]),
        (["false", "true"], [1, 0]),
        (["False", "True"], [1, 0]),
        (["TRUE", "FALSE"], [0, 1]),
        (["true", "false", "maybe"], [0, 1]),
    ],
)
def test_booleans_are_0_and_1_or_false_and_true(
    tmp_path: Path, case: str, labels: Any, numbers: list[int]
) -> None:
    suffix, values = BOOLEANS[case]
    rows = [{"text": "a", "label": value} for value in values] * 2
    for split in ("train", "dev"):
        (tmp_path / f"{split}{suffix}").write_bytes(table(suffix, rows))
    data = load_for(evaluation_of(tmp_path, labels=labels), "mine")
    assert data.references("train") == data.references("dev") == numbers * 2


@pytest.mark.parametrize("case", BOOLEANS)
def test_booleans_are_refused_where_the_labels_have_other_names(tmp_path: Path, case: str) -> None:
    suffix, values = BOOLEANS[case]
    for split in ("train", "dev"):
        rows = [{"text": "a", "label": value} for value in values]
        (tmp_path / f"{split}{suffix}").write_bytes(table(suffix, rows))
    with pytest.raises(InputError, match="one of no, yes") as caught:
        load_for(evaluation_of(tmp_path, labels=["no", "yes"]), "mine")
    assert "'false' and 'true'" in str(caught.value.hint)


def test_names_that_differ_in_case_alone_are_taken_as_they_are_written(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": label} for label in ("true", "True", "true")]
    for split in ("train", "dev"):
        write_rows(tmp_path / f"{split}.jsonl", rows)
    data = load_for(evaluation_of(tmp_path, labels=["true", "True"]), "mine")
    assert data.references("train") == [0, 1, 0]
    write_rows(tmp_path / "train.jsonl", [{"text": "a", "label": True}])
    data = load_for(evaluation_of(tmp_path, labels=["true", "True"]), "mine")
    assert data.references("train") == [1]


@pytest.mark.parametrize("label", [1, 1.0, "1"])
def test_names_that_are_numbers_need_no_quotes(tmp_path: Path, label: Any) -> None:
    for split in ("train", "dev"):
        write_rows(tmp_path / f"{split}.jsonl", [{"text": "a", "label": label}] * 2)
    data = load_for(evaluation_of(tmp_path, labels=["1", "2"]), "mine")
    assert data.references("dev") == [0, 0]


def test_rows_are_counted_before_a_run_starts(tmp_path: Path) -> None:
    evaluation = evaluation_of(write_task(tmp_path, lambda row: row % 3), test="holdout")
    [task] = check_tasks(evaluation)
    assert task.summary == "task mine: 48 training rows, 17 rows scored"
    changes = {"max_train_rows": 20, "predict_test": True}
    [task] = check_tasks(evaluation.model_copy(update=changes))
    assert task.summary == "task mine: 20 training rows of 48, 17 rows scored, 5 predicted"
    assert load_for(evaluation, "mine").train_rows == {"used": 48, "of": 48}


def test_what_is_not_unicode_is_replaced_counted_and_located(tmp_path: Path) -> None:
    write_task(tmp_path, lambda row: row % 3)
    lines = (tmp_path / "train.jsonl").read_text().splitlines()
    lines[4] = '{"text": "half \\ud83d and \\udc00, whole \\ud83d\\ude00", "label": 1}'
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    data = load_for(evaluation_of(tmp_path), "mine")
    assert data.splits["train"]["text"][4] == "half \ufffd and \ufffd, whole 😀"
    assert data.notes.replaced_characters == 2
    [task] = check_tasks(evaluation_of(tmp_path))
    [warning] = task.warnings
    assert warning.startswith("task mine: 2 characters")
    assert f"{tmp_path / 'train.jsonl'}, line 5" in warning

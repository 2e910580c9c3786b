from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entromask import presets
from entromask.analysis.examples import read_examples
from entromask.analysis.resampling import resample_run, resampled_scores
from entromask.glue.cells import cell_file, read_cell, write_cell
from entromask.glue.metrics import score_predictions

LOGITS = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]]


def cell(folder: Path, task: str, seed: int | None, **result: Any) -> Path:
    file = cell_file(folder / "evaluation", task, seed)
    write_cell(file, "setup", {"score": 0.5, "metrics": {}, **result})
    return file


def rte(folder: Path, seed: int = 0, **changes: Any) -> Path:
    result = {"predictions": {"validation": LOGITS}, "references": {"validation": [0, 1, 1, 1]}}
    return cell(folder, "rte", seed, **(result | changes))


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_examples_of_every_seed_are_read(tmp_path: Path) -> None:
    rte(tmp_path, 0)
    rte(tmp_path, 3, predictions={"validation": LOGITS[::-1]})
    found = read_examples(tmp_path, "rte", [0, 3])
    assert found is not None
    assert found.task.name == "rte"
    split = found.splits["validation"]
    assert split.references is not None
    assert split.references.tolist() == [0, 1, 1, 1]
    # Of equal logits the first class is the answer.
    assert split.answers.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0]]


def test_regressions_and_both_splits_of_mnli(tmp_path: Path) -> None:
    numbers = {"predictions": {"validation": [1.5, 2.0]}, "references": {"validation": [1.0, 5.0]}}
    cell(tmp_path, "stsb", 0, **numbers)
    stsb = read_examples(tmp_path, "stsb", [0])
    assert stsb is not None
    assert stsb.splits["validation"].answers.tolist() == [[1.5, 2.0]]
    three = [[0.1, 0.2, 0.7]]
    cell(
        tmp_path,
        "mnli",
        0,
        predictions={"validation_matched": three, "validation_mismatched": 2 * three},
        references={"validation_matched": [2], "validation_mismatched": [0, 2]},
    )
    mnli = read_examples(tmp_path, "mnli", [0])
    assert mnli is not None
    assert {name: split.answers.tolist() for name, split in mnli.splits.items()} == {
        "validation_matched": [[2]],
        "validation_mismatched": [[2, 2]],
    }


def test_pairs_of_blimp_are_won_lost_or_tied(tmp_path: Path) -> None:
    cell(tmp_path, "blimp", None, outcomes={"a": "10=", "b": "1"})
    found = read_examples(tmp_path, "blimp", [0, 1])
    assert found is not None
    assert found.splits["a"].answers.tolist() == [[1.0, 0.0, 0.5]]
    assert found.splits["b"].references is None


@pytest.mark.parametrize(
    "changes",
    [
        {"references": {}},
        {"predictions": {}},
        {"references": {"validation": [0, 1, 1]}},
        {"references": {"validation": [0, 1, 1, -1]}},
        {"references": {"validation": []}, "predictions": {"validation": []}},
    ],
    ids=["no references", "no predictions", "other length", "no label", "no rows"],
)
def test_a_result_without_the_answers_says_nothing_of_examples(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    rte(tmp_path, 0)
    rte(tmp_path, 1, **changes)
    assert read_examples(tmp_path, "rte", [0]) is not None
    assert read_examples(tmp_path, "rte", [1]) is None
    assert read_examples(tmp_path, "rte", [0, 1]) is None
    assert resample_run(tmp_path, "rte", [0, 1]) is None


def test_a_result_of_an_earlier_version_still_counts_and_says_nothing_of_examples(
    tmp_path: Path,
) -> None:
    file = cell(tmp_path, "rte", 0, predictions={"validation": LOGITS})
    assert read_cell(file, "setup")[0] is not None
    assert read_examples(tmp_path, "rte", [0]) is None
    cell(tmp_path, "blimp", None, paradigms={"a": 0.5})
    assert read_examples(tmp_path, "blimp", []) is None


def test_a_missing_or_damaged_file_says_nothing_of_examples(tmp_path: Path) -> None:
    assert read_examples(tmp_path, "rte", [0]) is None
    assert resample_run(tmp_path, "rte", [0]) is None
    file = rte(tmp_path, 0)
    assert read_examples(tmp_path, "rte", []) is None
    file.write_text(file.read_text().replace("0.9", "0.1"))
    assert read_examples(tmp_path, "rte", [0]) is None
    file.write_text("[]")
    assert read_examples(tmp_path, "rte", [0]) is None


def test_seeds_with_other_rows_are_not_put_together(tmp_path: Path) -> None:
    rte(tmp_path, 0)
    rte(tmp_path, 1, references={"validation": [1, 1, 1, 1]})
    assert read_examples(tmp_path, "rte", [1]) is not None
    assert read_examples(tmp_path, "rte", [0, 1]) is None


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file = rte(tmp_path, 0)
    first = resample_run(tmp_path, "rte", [0], 20)
    assert first is not None
    assert resample_run(tmp_path, "rte", [0], 20) is first
    rte(tmp_path, 0, references={"validation": [0, 1, 0, 0]})
    os.utime(file, ns=(1, 1))
    again = resample_run(tmp_path, "rte", [0], 20)
    assert again is not None
    assert again.tolist() == [1.0] * 20
    assert first.tolist() != again.tolist()


def test_runs_on_the_same_rows_have_the_same_identity(tmp_path: Path) -> None:
    rte(tmp_path / "one")
    rte(tmp_path / "other", predictions={"validation": LOGITS[::-1]})
    rte(tmp_path / "third", references={"validation": [0, 1, 1, 0]})
    found = [read_examples(tmp_path / name, "rte", [0]) for name in ("one", "other", "third")]
    identities = [examples.identity for examples in found if examples is not None]
    assert identities[0] == identities[1] != identities[2]
    pairs = []
    for name, outcomes in (("a", "101"), ("b", "0=0"), ("c", "10")):
        cell(tmp_path / name, "blimp", None, outcomes={"p": outcomes})
        pairs.append(read_examples(tmp_path / name, "blimp", []))
    identities = [examples.identity for examples in pairs if examples is not None]
    assert identities[0] == identities[1] != identities[2]


@pytest.mark.slow
def test_an_evaluation_keeps_what_the_statistics_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entromask.glue.evaluation import evaluate
    from entromask.modeling.architectures import build_model, save_pretrained
    from entromask.spec import BuiltinCorpus, Evaluation, Model, TaskSource, TrainedTokenizer
    from entromask.text.corpus import open_corpus
    from entromask.text.tokenizer import open_tokenizer

    fast = presets.Protocol(1e-3, 1, 16, 0.1, 0.01, 32, 2)
    monkeypatch.setitem(presets.PROTOCOLS, "fixed", fast)
    pairs = [
        {
            "sentence_good": f"the cat sees {number} .",
            "sentence_bad": f"the cat see {number} ." if number % 4 else f"the cat sees {number} .",
            "linguistics_term": "binding",
            "UID": f"paradigm_{number % 2}",
        }
        for number in range(12)
    ]
    rows = [
        {"sentence1": f"the cat sees {row}", "sentence2": f"it sees {row % 3}", "label": row % 2}
        for row in range(40)
    ]
    write_rows(tmp_path / "glue/blimp/blimp.jsonl", pairs)
    write_rows(tmp_path / "glue/rte/train.jsonl", rows)
    write_rows(tmp_path / "glue/rte/validation.jsonl", rows[:17])
    tokenizer = open_tokenizer(TrainedTokenizer(vocab_size=400), open_corpus(BuiltinCorpus()))
    model = Model.model_validate({"architecture": "modernbert", "size": "tiny"})
    save_pretrained(build_model(model, tokenizer, 64, 0), tokenizer, tmp_path / "model")
    evaluation = Evaluation(
        tasks=["blimp", "rte"],
        source=TaskSource(local=str(tmp_path / "glue")),
        seeds=[0, 2],
    )
    table = evaluate(tmp_path / "model", evaluation, tmp_path / "evaluation")

    tuned = read_examples(tmp_path, "rte", [0, 2])
    assert tuned is not None
    split = tuned.splits["validation"]
    assert split.references is not None
    for seed, answers in zip(("0", "2"), split.answers, strict=True):
        own = score_predictions("rte", answers.tolist(), split.references.tolist())
        per_seed = table["rte"]["metrics"]["accuracy"]["per_seed"]
        assert own["accuracy"] == per_seed[seed]
    blimp = read_examples(tmp_path, "blimp", [0, 2])
    assert blimp is not None
    means = {name: split.answers.mean() for name, split in blimp.splits.items()}
    assert means == pytest.approx(table["blimp"]["paradigms"])
    assert "outcomes" not in table["blimp"]
    ties = sum((split.answers == 0.5).sum() for split in blimp.splits.values())
    assert ties == table["blimp"]["ties"] == 3
    for examples, name in ((tuned, "rte"), (blimp, "blimp")):
        found = resampled_scores(examples, 400)
        error = found.std() / 20
        assert found.mean() == pytest.approx(table[name]["score"], abs=4 * error + 1e-9)
        kept = resample_run(tmp_path, name, [0, 2], 400)
        np.testing.assert_array_equal(kept, found)  # type: ignore[arg-type]


def test_reading_and_statistics_import_nothing_heavy() -> None:
    code = (
        "import sys, entromask.analysis.resampling, entromask.analysis.statistics;"
        "heavy = {'torch', 'transformers', 'evaluate', 'sklearn', 'datasets', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""Task scores as rows: seeds, spread, floors, and means that say what they are of."""

from __future__ import annotations

from typing import Any

from frontend.parts.run.score_table import Scores, scores_of, spread
from frontend.parts.tables import Cell
from tests.frontend.samples import results, task


def text(cell: str | Cell) -> str:
    return cell if isinstance(cell, str) else cell.text


def row(scores: Scores, start: str) -> dict[str, str]:
    """The row that begins with a word, by the heads of its columns."""
    found = next(cells for cells in scores.rows if text(cells[0]).startswith(start))
    return {head: text(cell) for head, cell in zip(scores.head, found, strict=True)}


def test_a_task_stands_with_its_mean_its_floors_and_each_seed() -> None:
    found = row(scores_of(results()), "rte")
    assert found == {
        "Task": "rte",
        "Metric": "accuracy",
        "mean ± sd": "57.0 ± 1.4",
        "majority": "52.7",
        "untrained": "53.0",
        "seed 0": "56.0",
        "seed 1": "58.0",
        "examples": "277",
        "Note": "",
    }


def test_of_a_task_with_two_metrics_their_mean_is_its_score() -> None:
    scores = scores_of(results())
    at = [text(cells[0]) for cells in scores.rows].index("mrpc")
    accuracy, f1, both = scores.rows[at : at + 3]
    assert [text(cell) for cell in accuracy[1:3]] == ["accuracy", "71.0 ± 1.4"]
    assert [text(cell) for cell in f1[1:3]] == ["F1", "81.0 ± 1.4"]
    assert [text(cell) for cell in both[1:4]] == ["mean of these 2", "76.0 ± 1.4", "74.8"]
    assert isinstance(both[2], Cell)
    assert both[2].strong


def test_a_single_seed_has_no_spread() -> None:
    one = results(tasks={"rte": task({"accuracy": [0.56]}, rows=277, majority=0.527)})
    assert row(scores_of(one), "rte")["mean ± sd"] == "56.0"
    assert spread(0.561, None) == "56.1"
    assert spread(-0.1, 0.02) == "−10.0 ± 2.0"


def test_an_incomplete_mean_says_which_tasks_it_is_of_and_is_no_glue_mean() -> None:
    scores = scores_of(results())
    assert row(scores, "GLUE-8")["mean ± sd"] == "–"
    assert "no score for cola, sst2" in row(scores, "GLUE-8")["Note"]
    incomplete = row(scores, "GLUE, incomplete")
    assert incomplete["Task"] == "GLUE, incomplete: rte, mrpc"
    assert incomplete["mean ± sd"] == "66.5"


def test_a_complete_mean_stands_alone() -> None:
    names = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte")
    tasks = {name: task({"accuracy": [0.6, 0.7]}, rows=10, majority=0.5) for name in names}
    averages: dict[str, Any] = {
        "glue8": 0.65,
        "glue9": None,
        "available": {"tasks": list(names), "value": 0.65},
        "demo": {"tasks": [], "value": None},
    }
    scores = scores_of(results(tasks=tasks, averages=averages))
    assert row(scores, "GLUE-8, all 8 tasks")["mean ± sd"] == "65.0"
    assert row(scores, "GLUE-9")["Note"] == "no score for wnli"
    assert not any("incomplete" in text(cells[0]) for cells in scores.rows)


def test_demo_tasks_are_never_called_glue() -> None:
    tasks = {
        name: task({"accuracy": [0.6, 0.7]}, rows=500, majority=0.5)
        for name in ("demo-order", "demo-pair")
    }
    averages = {
        "glue8": None,
        "glue9": None,
        "available": {"tasks": [], "value": None},
        "demo": {"tasks": list(tasks), "value": 0.65},
    }
    scores = scores_of(results(tasks=tasks, averages=averages))
    firsts = [text(cells[0]) for cells in scores.rows]
    assert firsts[-1] == "Demo tasks, not GLUE: demo-order, demo-pair"
    assert not any(first.startswith("GLUE") for first in firsts)


def test_a_score_that_ranks_nothing_is_noted() -> None:
    tasks = {
        "cola": task({"matthews_correlation": [0.0, 0.02]}, rows=9, majority=0.0, collapsed=1),
        "rte": task({"accuracy": [0.5, 0.5]}, rows=9, majority=0.4, untrained=0.53),
        "sst2": task({"accuracy": [0.8, 0.8]}, rows=9, majority=0.5, untrained=0.6),
    }
    scores = scores_of(results(tasks=tasks, averages={}))
    assert row(scores, "cola")["Note"] == "1 of 2 at or under the majority floor"
    assert row(scores, "rte")["Note"] == "not above the model without pretraining"
    assert row(scores, "sst2")["Note"] == ""


def test_without_anything_to_note_there_is_no_column_for_it() -> None:
    tasks = {"sst2": task({"accuracy": [0.8, 0.8]}, rows=9, majority=0.5, untrained=0.6)}
    scores = scores_of(results(tasks=tasks, averages={}))
    assert "Note" not in scores.head
    assert all(len(cells) in (1, len(scores.head)) for cells in scores.rows)


def test_a_zero_shot_task_has_a_score_without_seeds() -> None:
    blimp = task({"accuracy": [0.61]}, rows=2000, majority=0.5)
    blimp["per_seed"] = blimp["metrics"]["accuracy"]["per_seed"] = {}
    both = {"blimp": blimp, "rte": task({"accuracy": [0.5, 0.6]}, rows=9, majority=0.5)}
    found = row(scores_of(results(tasks=both, averages={})), "blimp")
    assert (found["mean ± sd"], found["seed 0"], found["seed 1"]) == ("61.0", "–", "–")

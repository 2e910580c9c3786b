from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entromask.errors import InputError
from entromask.glue.batches import encode_task
from entromask.glue.data import load_task
from entromask.glue.fine_tuning import open_model_folder
from entromask.glue.protocols import fine_tune
from entromask.glue.selection import _beyond, held_out, select_learning_rate, selection_in
from entromask.presets import PROTOCOLS
from entromask.spec import TaskSource

from .conftest import two_class_rows, write_rows

# The first rate learns nothing, the second learns the task, the third destroys the model.
SEARCH = replace(
    PROTOCOLS["search"],
    learning_rate=1e-3,
    rate_factors=(1e-6, 1.0, 1e6),
    epochs=8,
    min_steps=0,
    batch_size=8,
    max_length=32,
)


def chosen(model_dir: Path, folder: Path, task: str = "rte", **changes: Any) -> dict[str, Any]:
    data = load_task(task, TaskSource(local=str(folder)))
    config, tokenizer = open_model_folder(model_dir)
    train = encode_task(data, tokenizer, config, 32, ["train"])["train"]
    return select_learning_rate(model_dir, data.task, train, replace(SEARCH, **changes))


@pytest.mark.parametrize(
    ("rows", "count"), [(2, 1), (10, 1), (635, 63), (9_999, 999), (67_349, 1_000)]
)
def test_a_tenth_of_the_rows_is_held_out_and_at_most_a_thousand(rows: int, count: int) -> None:
    rest, held = held_out(rows)
    assert len(held) == count
    assert np.array_equal(np.sort([*rest, *held]), np.arange(rows))
    again = held_out(rows)
    assert np.array_equal(rest, again[0])
    assert np.array_equal(held, again[1])


def test_the_rows_held_out_are_drawn_from_all_over_the_split() -> None:
    held = held_out(1000)[1]
    assert 300 < held.mean() < 700
    assert len(set(np.diff(held))) > 10


def test_a_split_that_is_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="one row") as caught:
        held_out(1)
    assert "fixed" in str(caught.value.hint)


@pytest.mark.slow
def test_the_learning_rate_with_the_best_score_is_chosen(model_dir: Path, glue_dir: Path) -> None:
    selection = chosen(model_dir, glue_dir)
    assert selection["held_out_rows"] == 4
    assert list(selection["scores"]) == list(selection["losses"]) == ["1e-09", "0.001", "1000.0"]
    assert selection["losses"]["0.001"] < selection["losses"]["1e-09"]
    assert selection["learning_rate"] == 1e-3
    assert not selection["at_edge"]
    assert chosen(model_dir, glue_dir, rate_factors=(1e6, 1.0, 1e-6)) == selection


@pytest.mark.slow
def test_a_grid_whose_best_rate_is_at_its_edge_is_extended_there(
    model_dir: Path, glue_dir: Path
) -> None:
    # 1e-3 learns the task, and so does 3e-4 with a higher loss.
    selection = chosen(model_dir, glue_dir, rate_factors=(0.03, 0.1, 0.3), epochs=20)
    rates = [float(rate) for rate in selection["scores"]]
    assert rates[:4] == [3e-5, 1e-4, 3e-4, 9e-4]
    assert rates == sorted(rates)
    assert rates[0] < selection["learning_rate"] < rates[-1]
    assert not selection["at_edge"]


@pytest.mark.parametrize(
    ("upwards", "rates"),
    [
        (True, [3e-4, 1e-3, 3e-3, 9e-3, 2.7e-2, 8.1e-2]),
        (False, [1.1e-5, 3.3e-5, 1e-4, 3e-4, 1e-3, 3e-3]),
    ],
)
def test_a_grid_is_extended_at_most_three_times(upwards: bool, rates: list[float]) -> None:
    grid = [3e-4, 1e-3, 3e-3]
    tried = list(grid)
    while further := _beyond(max(tried) if upwards else min(tried), tried, grid):
        tried += further
    assert sorted(tried) == rates
    assert _beyond(1e-3, grid, grid) == []


@pytest.mark.slow
def test_of_equal_scores_the_lowest_loss_decides(model_dir: Path, glue_dir: Path) -> None:
    for factors in ((0.1, 1.0, 1e6), (1e6, 1.0, 0.1)):
        selection = chosen(model_dir, glue_dir, rate_factors=factors, epochs=20)
        assert selection["scores"]["0.0001"] == selection["scores"]["0.001"] == 1.0
        assert selection["losses"]["0.001"] < selection["losses"]["0.0001"]
        assert selection["learning_rate"] == 1e-3


@pytest.mark.slow
def test_a_rate_that_diverges_is_not_chosen_and_has_no_loss(
    model_dir: Path, glue_dir: Path
) -> None:
    selection = chosen(model_dir, glue_dir, "stsb", rate_factors=(1e-9, 1.0, 1e33))
    assert selection["losses"]["1e+30"] is None
    assert selection["losses"]["0.001"] is not None
    assert selection["learning_rate"] != 1e30


@pytest.mark.slow
def test_the_reported_rows_decide_nothing(model_dir: Path, glue_dir: Path, tmp_path: Path) -> None:
    pair = ("sentence1", "sentence2")
    write_rows(tmp_path / "rte/train.jsonl", two_class_rows(48, pair))
    wrong = [{**row, "label": 1 - row["label"]} for row in two_class_rows(17, pair)]
    write_rows(tmp_path / "rte/validation.jsonl", wrong)

    def result(folder: Path) -> dict[str, Any]:
        data = load_task("rte", TaskSource(local=str(folder)))
        return fine_tune(model_dir, data, SEARCH, 3)

    right, corrupted = result(glue_dir), result(tmp_path)
    assert right["score"] == 1.0
    # By the reported rows, the rate that learns is the worst: it is wrong everywhere.
    assert corrupted["score"] == 0.0
    assert corrupted["selection"] == right["selection"]
    assert corrupted["predictions"] == right["predictions"]


def test_the_final_training_is_on_all_rows_with_the_chosen_rate(
    model_dir: Path, glue_dir: Path
) -> None:
    data = load_task("rte", TaskSource(local=str(glue_dir)))
    searched = fine_tune(model_dir, data, SEARCH, 3)
    given = fine_tune(model_dir, data, replace(SEARCH, rate_factors=()), 3)
    assert searched.pop("selection")["learning_rate"] == 1e-3
    assert searched == given


def test_every_training_is_on_the_rows_that_are_left_and_progress_counts_them_together(
    model_dir: Path, glue_dir: Path
) -> None:
    seen: list[tuple[int, int]] = []
    data = load_task("rte", TaskSource(local=str(glue_dir)))
    config, tokenizer = open_model_folder(model_dir)
    train = encode_task(data, tokenizer, config, 32, ["train"])["train"]
    protocol = replace(SEARCH, epochs=1, batch_size=4)
    select_learning_rate(
        model_dir, data.task, train, protocol, on_progress=lambda *step: seen.append(step)
    )
    # 44 of 48 rows are left, in batches of 4, three times.
    assert seen == [(step, 33) for step in range(1, 34)]


def test_a_selection_is_made_once_however_many_ask(tmp_path: Path) -> None:
    asked: list[int] = []
    made: list[int] = []

    def select() -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while len(asked) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        made.append(1)
        return {"learning_rate": 1e-4}

    def ask(number: int) -> dict[str, Any]:
        asked.append(number)
        return selection_in(tmp_path / "rte-selection.json", "setup", select, pytest.fail)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [{"learning_rate": 1e-4}] * 4
    assert len(made) == 1


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda file: file.write_text("{"), "is damaged"),
        (lambda file: None, "is of another model, protocol or data"),
    ],
)
def test_a_selection_that_cannot_be_used_is_said_and_made_again(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    file = tmp_path / "rte-selection.json"
    first, second = {"learning_rate": 1e-4}, {"learning_rate": 3e-4}
    selection_in(file, "setup", lambda: first, pytest.fail)
    spoil(file)
    said: list[str] = []
    assert selection_in(file, "other", lambda: second, said.append) == second
    assert len(said) == 1
    assert words in said[0]
    assert selection_in(file, "other", pytest.fail, pytest.fail) == second

"""The scores of a model in training: what is known, what is guessed, what a checkpoint keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from entromask.masking.running import RunningScores

HIGHEST = 9.0


@pytest.fixture
def running(tmp_path: Path) -> RunningScores:
    return RunningScores(
        tmp_path / "scores" / "self.u8", rows=4, length=3, types=10, highest=HIGHEST
    )


def test_a_score_is_kept_to_half_a_level_until_the_next_one(running: RunningScores) -> None:
    rows = torch.tensor([[1, 2, 3], [4, 5, 6]])
    ids = torch.tensor([3, 0])
    first = torch.tensor([[0.0, 4.321, HIGHEST], [1.0, 2.0, 3.0]])
    running.update(rows, ids, first)
    assert (running.read(rows, ids) - first).abs().max() <= HIGHEST / 254 / 2 + 1e-6
    again = torch.full((1, 3), torch.nan)
    again[0, 1] = 7.0
    running.update(rows[:1], ids[:1], again)
    expected = first.clone()
    expected[0, 1] = 7.0
    assert (running.read(rows, ids) - expected).abs().max() <= HIGHEST / 254 / 2 + 1e-6


def test_what_was_never_scored_gets_the_mean_of_its_type(running: RunningScores) -> None:
    unknown = torch.full((1, 3), torch.nan)
    rows = torch.tensor([[1, 1, 2]])
    known = unknown.clone()
    known[0] = torch.tensor([2.0, 4.0, 8.0])
    running.update(rows, torch.tensor([0]), known)
    guessed = running.read(torch.tensor([[1, 2, 7]]), torch.tensor([1]))
    assert guessed[0].tolist() == pytest.approx([3.0, 8.0, 14 / 3], abs=HIGHEST / 254)


def test_a_type_s_mean_follows_the_model(running: RunningScores) -> None:
    rows, ids = torch.tensor([[1, 1, 1]]), torch.tensor([0])
    for score, times in ((2.0, 2000), (6.0, 2000)):
        for _ in range(times):
            running.update(rows, ids, torch.full((1, 3), score))
    guessed = float(running.read(rows, torch.tensor([1]))[0, 0])
    assert guessed == pytest.approx(6.0 - 4.0 * 0.999**2000, abs=0.1)


def test_before_any_score_all_are_equal(running: RunningScores) -> None:
    scores = running.read(torch.tensor([[1, 2, 3]]), torch.tensor([2]))
    assert len(set(scores.flatten().tolist())) == 1


def test_going_back_to_a_copy_forgets_what_came_after(running: RunningScores) -> None:
    rows, ids = torch.tensor([[1, 2, 3]]), torch.tensor([0])
    running.update(rows, ids, torch.tensor([[1.0, 2.0, torch.nan]]))
    kept = running.tensors()
    before = running.read(rows, ids)
    running.update(rows, ids, torch.tensor([[5.0, 6.0, 7.0]]))
    assert not torch.equal(running.read(rows, ids), before)
    running.load(kept)
    assert torch.equal(running.read(rows, ids), before)
    assert running.scored == pytest.approx(2 / 12)


def test_a_store_that_others_opened_is_the_same_store(tmp_path: Path) -> None:
    path = tmp_path / "scores" / "self.u8"
    one = RunningScores(path, 2, 3, 10, HIGHEST)
    other = RunningScores(path, 2, 3, 10, HIGHEST, creates=False)
    rows, ids = torch.tensor([[1, 2, 3]]), torch.tensor([1])
    scores = torch.tensor([[1.0, 2.0, 3.0]])
    for store in (one, other):
        store.update(rows, ids, scores)
    assert torch.equal(one.read(rows, ids), other.read(rows, ids))
    one.close()
    assert not path.exists()

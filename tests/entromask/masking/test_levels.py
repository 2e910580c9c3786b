"""Scores in one byte: how far they are rounded, and that no file is read by another scale."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from entromask.hf.scores import as_stored
from entromask.masking.levels import Scale, from_levels, scale_of, to_levels
from entromask.masking.running import RunningScores
from entromask.masking.selection import HARD_SELECTIONS, decided_by_ties
from entromask.masking.store import ScoreStore

HIGHEST = 2 * math.log(30_522)


def test_surprisals_have_levels_that_are_dense_near_zero() -> None:
    assert (scale_of("entropy"), scale_of("surprisal")) == ("linear", "square")
    scores = torch.tensor([0.0, 1e-4, 1e-3, 0.01, 0.1, 1.0, 5.0, 20.0, HIGHEST, 30.0, -1.0])
    levels = to_levels(scores, HIGHEST, 255, "square")
    inside = np.clip(scores.numpy().astype(np.float64), 0, HIGHEST)
    assert levels.tolist() == np.rint(255 * np.sqrt(inside / HIGHEST)).tolist()
    back = from_levels(levels, HIGHEST, 255, "square").double().numpy()
    assert np.allclose(back, HIGHEST * (levels.numpy() / 255.0) ** 2, rtol=1e-6)
    # Half a level, up and down.
    error = np.sqrt(inside * HIGHEST) / 255 + HIGHEST / 510**2
    assert (np.abs(back - inside) <= error + 1e-6).all()
    linear = from_levels(to_levels(scores, HIGHEST, 255, "linear"), HIGHEST, 255, "linear")
    assert len(set(back[:5])) == 5
    assert len(set(linear[:5].tolist())) == 2


@pytest.mark.parametrize("most", [254, 255])
def test_linear_levels_are_what_they_were(most: int) -> None:
    scores = torch.rand(1000) * 12 - 1
    expected = (scores * (most / 9.0)).round().clamp(0, most).to(torch.uint8)
    assert torch.equal(to_levels(scores, 9.0, most, "linear"), expected)
    back = expected.to(torch.float32).mul_(9.0 / most)
    assert torch.equal(from_levels(expected, 9.0, most, "linear"), back)


@pytest.mark.parametrize("rule", HARD_SELECTIONS)
def test_fewer_positions_of_sure_tokens_are_decided_by_ties(rule: str) -> None:
    # A model that is sure of most tokens: surprisals from 1e-4 to 10 nats.
    generator = torch.Generator().manual_seed(0)
    scores = torch.exp(torch.randn(50, 128, generator=generator) * 2.5 - 4).clamp(max=HIGHEST)
    maskable = torch.ones(50, 128, dtype=torch.bool)

    def share(scale: Scale | None) -> float:
        stored = scores if scale is None else as_stored(scores, HIGHEST, scale)
        decided, selected = decided_by_ties(stored, maskable, rate=0.15, rule=rule)
        return decided / selected

    assert share(None) == 0.0
    assert share("square") < share("linear") or share("linear") < 0.05
    if rule in ("bottom", "middle"):
        assert share("linear") > 0.9


def test_a_store_is_read_by_the_scale_that_it_was_written_in(tmp_path: Path) -> None:
    scores = torch.tensor([[0.01, 0.5, 12.0]])
    old = ScoreStore.under(tmp_path, {"score": "surprisal"}, 1, 3, HIGHEST)
    with old.filling():
        old.append(scores)
    new = ScoreStore.under(tmp_path, {"score": "surprisal"}, 1, 3, HIGHEST, "square")
    assert new.folder != old.folder
    assert new.filled == 0
    # In the very same folder as well.
    assert ScoreStore(old.folder, {"score": "surprisal"}, 1, 3, HIGHEST, "square").filled == 0
    with new.filling():
        new.append(scores)
    again = ScoreStore.under(tmp_path, {"score": "surprisal"}, 1, 3, HIGHEST, "square")
    expected = HIGHEST * (np.rint(255 * np.sqrt(scores.numpy() / HIGHEST)) / 255) ** 2
    assert np.allclose(again.read(torch.tensor([0])).numpy(), expected, rtol=1e-5)
    # Stores of entropies are where they were.
    assert ScoreStore.under(tmp_path, {"score": "surprisal"}, 1, 3, HIGHEST).filled == 1


def test_a_checkpoint_of_linear_levels_is_converted(tmp_path: Path) -> None:
    rows, ids = torch.tensor([[1, 2, 3, 4]]), torch.tensor([0])
    scores = torch.tensor([[0.3, 4.0, 9.5, math.nan]])
    before = RunningScores(tmp_path / "a" / "self.u8", 1, 4, 10, HIGHEST)
    before.update(rows, ids, scores)
    now = RunningScores(tmp_path / "b" / "self.u8", 1, 4, 10, HIGHEST, scale="square")
    now.load(before.tensors())
    known = slice(0, 3)
    linear = np.rint(scores.numpy()[0, known] * 254 / HIGHEST) * HIGHEST / 254
    expected = HIGHEST * (np.rint(254 * np.sqrt(linear / HIGHEST)) / 254) ** 2
    assert np.allclose(now.read(rows, ids)[0, known].numpy(), expected, rtol=1e-5)
    assert now.scored == 0.75
    # Its own copies are taken as they are.
    other = RunningScores(tmp_path / "c" / "self.u8", 1, 4, 10, HIGHEST, scale="square")
    other.load(now.tensors())
    assert torch.equal(other.read(rows, ids), now.read(rows, ids))

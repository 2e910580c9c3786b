"""What a run selects by: that each source is asked, and what a step leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from entromask.masking import accuracy
from entromask.masking.scoring import masked_scores, position_scores, visible_scores
from entromask.training.scores import AdaptiveScores, AverageScores, CachedScores
from tests.entromask.training.loops import make_loop, step

MASKED = {"preset": "self-masked-entropy-sample"}


def levels(loop: Any) -> np.ndarray[Any, Any]:
    """[N, T] the stored bytes of a loop's own scores, 255 where there is none."""
    assert isinstance(loop.scores, CachedScores)
    found: np.ndarray[Any, Any] = loop.scores.tensors()["levels"].numpy()
    return found


@pytest.mark.parametrize("accumulation", [1, 3, 5])
@pytest.mark.parametrize("score", ["entropy", "surprisal"])
def test_a_step_stores_the_scores_of_the_positions_that_it_hid(
    score: str, accumulation: int, tmp_path: Path
) -> None:
    loop = make_loop(
        tmp_path,
        {**MASKED, "score": score},
        model={"architecture": "modernbert", "size": "tiny", "dropout": 0.0},
    )
    object.__setattr__(loop.spec.pretraining, "gradient_accumulation", accumulation)
    batch = loop.batches[0]
    inputs, labels = loop.masker(batch.rows, batch.row_ids, batch.epoch, loop.scores(batch))
    hidden = (labels >= 0) & (inputs == loop.masker.mask_id)
    assert hidden.sum() < (labels >= 0).sum(), "some predicted positions are kept or replaced"
    states = loop.model.states(inputs, where=hidden)
    kind: Any = score
    expected = position_scores(loop.model, states, batch.rows[hidden], kind)
    highest = loop.scores._running.highest  # type: ignore[attr-defined]
    step(loop)
    stored = torch.from_numpy(levels(loop)[batch.row_ids.numpy()])
    assert torch.equal(stored != 255, hidden)
    # A level is half a step from its score at most; those of a surprisal are levels of its root.
    root = 2 if score == "surprisal" else 1
    shares = (expected / highest) ** (1 / root)
    assert (stored[hidden].float() / 254 - shares).abs().max() <= 1 / 254 / 2 + 1e-4


def test_a_visible_store_refreshes_a_share_of_what_is_not_predicted(tmp_path: Path) -> None:
    loop = make_loop(
        tmp_path,
        {"preset": "self-entropy-sample", "refresh": "cached", "refresh_share": 0.3},
        model={"architecture": "modernbert", "size": "tiny", "dropout": 0.0},
    )
    batch = loop.batches[0]
    inputs, labels = loop.masker(batch.rows, batch.row_ids, batch.epoch, loop.scores(batch))
    visible = loop.model.states(inputs)
    step(loop)
    stored = torch.from_numpy(levels(loop)[batch.row_ids.numpy()])
    known = stored != 255
    left_alone = loop.masker.maskable(batch.rows) & (labels < 0)
    assert not (known & ~left_alone).any()
    assert float(known.sum() / left_alone.sum()) == pytest.approx(0.3, abs=0.1)
    # The weights have moved since: what is stored is what the step saw before.
    moved = make_loop(tmp_path, {"preset": "random"}, model=loop.spec.model.model_dump())
    states = moved.model.states(inputs, where=known)
    expected = position_scores(moved.model, states, batch.rows[known], "entropy")
    highest = loop.scores._running.highest  # type: ignore[attr-defined]
    assert len(visible) == batch.rows.numel()
    assert (stored[known].float() * highest / 254 - expected).abs().max() <= highest / 508 + 1e-4


def test_the_stored_scores_decide_the_masks_of_the_next_epoch(tmp_path: Path) -> None:
    loop = make_loop(tmp_path, {"preset": "self-masked-entropy-high"})
    for _ in range(5):
        step(loop)
    batch = loop.batches[5]
    scores = loop.scores(batch)
    selected = loop.masker.positions(batch.rows, batch.row_ids, batch.epoch, scores)
    assert scores is not None
    maskable = loop.masker.maskable(batch.rows)
    lowest_taken = scores.masked_fill(~selected, torch.inf).amin(1)
    highest_left = scores.masked_fill(selected | ~maskable, -torch.inf).amax(1)
    assert (lowest_taken >= highest_left).all()
    uniform = loop.masker.positions(batch.rows, batch.row_ids, batch.epoch)
    assert (selected & uniform).sum() < 0.6 * selected.sum()


@pytest.mark.parametrize(
    "masking",
    [
        {"preset": "self-entropy-high"},
        {"preset": "self-entropy-high", "score": "surprisal"},
        {"preset": "self-masked-entropy-high", "refresh": "fresh"},
    ],
)
def test_fresh_scores_are_those_of_the_model_as_it_is(
    masking: dict[str, Any], tmp_path: Path
) -> None:
    loop = make_loop(tmp_path, masking)
    step(loop)
    batch = loop.batches[1]
    found = loop.scores(batch)
    special = sorted(set(loop.tokenizer.all_special_ids))
    score: Any = loop.spec.masking.score
    if loop.spec.masking.view == "masked":
        expected = masked_scores(
            loop.model, loop.masker.mask_id, special, batch.rows, batch.row_ids, score=score
        )
    else:
        where = loop.masker.maskable(batch.rows)
        expected = visible_scores(loop.model, batch.rows, where=where, score=score)
    assert found is not None
    torch.testing.assert_close(found, expected)
    assert loop.progress.flops > loop.cost.training(8 * 32, loop.progress.masked_tokens)


def test_the_average_follows_the_weights_at_its_decay(tmp_path: Path) -> None:
    masking = {"preset": "self-entropy-sample", "source": "self-ema", "ema_decay": 0.5}
    loop = make_loop(tmp_path, masking)
    assert isinstance(loop.scores, AverageScores)
    weights = [p.detach().clone() for p in loop.model.parameters()]
    average = [weight.clone() for weight in weights]
    for number in range(1, 5):
        step(loop)
        decay = min(0.5, (1 + number) / (10 + number))
        average = [
            decay * a + (1 - decay) * p.detach()
            for a, p in zip(average, loop.model.parameters(), strict=True)
        ]
    found = [loop.scores.tensors()[f"average.{i}"] for i in range(len(average))]
    for a, b in zip(found, average, strict=True):
        torch.testing.assert_close(a, b)
    # It is not the model's own: fresh scores of the two differ.
    batch = loop.batches[4]
    own = visible_scores(loop.model, batch.rows, where=loop.masker.maskable(batch.rows))
    scores = loop.scores(batch)
    assert scores is not None
    assert not torch.allclose(scores, own)


def test_adaptive_weights_count_what_was_predicted_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accuracy, "_EVERY", 10)
    loop = make_loop(tmp_path, {"preset": "amlm"})
    assert isinstance(loop.scores, AdaptiveScores)
    batch = loop.batches[0]
    _, labels = loop.masker(batch.rows, batch.row_ids, batch.epoch, loop.scores(batch))
    step(loop)
    predicted, right = loop.scores.tensors()["counts"]
    expected = torch.bincount(labels[labels >= 0], minlength=len(predicted)).double()
    assert torch.equal(predicted, expected)
    assert (right <= predicted).all()
    for _ in range(9):
        step(loop)
    assert 0 < float(loop.scores.tensors()["weights"].min()) < 1

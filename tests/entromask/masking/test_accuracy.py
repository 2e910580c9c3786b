"""AMLM's weights: the formula, its rhythm, and types that are not predicted."""

from __future__ import annotations

import pytest
import torch

from entromask.masking.accuracy import AccuracyWeights


def step(weights: AccuracyWeights, targets: list[int], correct: list[bool]) -> None:
    counts = weights.counted(torch.tensor(targets), torch.tensor(correct))
    weights.update(counts)


def test_every_200_steps_a_weight_moves_towards_the_share_of_failures() -> None:
    weights = AccuracyWeights(4)
    for number in range(199):
        step(weights, [0, 1, 1], [True, number % 2 == 0, False])
    assert weights.weights.tolist() == [1, 1, 1, 1]
    step(weights, [0, 1, 1], [True, False, False])
    # Type 1: 100 of 400 right. Type 0: always right. Types 2 and 3: never predicted.
    assert weights.weights.tolist() == pytest.approx([0.2, 0.2 + 0.8 * 0.75, 1.0, 1.0])
    for _ in range(200):
        step(weights, [1], [False])
    assert weights.weights.tolist() == pytest.approx([0.2, 0.2 * 0.8 + 0.8, 1.0, 1.0])


def test_scores_are_the_logarithms_of_the_weights() -> None:
    weights = AccuracyWeights(3)
    weights.weights = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    scores = weights(torch.tensor([[2, 0], [1, 1]]))
    assert scores.exp().flatten().tolist() == pytest.approx([0.25, 1.0, 0.5, 0.5])


def test_a_type_that_is_always_right_is_still_looked_at() -> None:
    weights = AccuracyWeights(2)
    for _ in range(200 * 20):
        step(weights, [0], [True])
    assert float(weights.weights[0]) == pytest.approx(1e-3)


def test_state_goes_on_where_it_was() -> None:
    one, other = AccuracyWeights(3), AccuracyWeights(3)
    for _ in range(250):
        step(one, [0, 2], [False, True])
    other.load({name: tensor.clone() for name, tensor in one.tensors().items()})
    for weights in (one, other):
        for _ in range(150):
            step(weights, [0, 1], [True, False])
    assert torch.equal(one.weights, other.weights)

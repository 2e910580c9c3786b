"""Whether a fine-tuning had converged, from made and from real training losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from entromask.analysis.diagnostics import warnings_for
from entromask.glue.convergence import has_converged, label_loss
from entromask.glue.data import load_task
from entromask.glue.evaluation import evaluate
from entromask.glue.floors import add_floors
from entromask.glue.protocols import fine_tune
from entromask.presets import PROTOCOLS
from entromask.spec import Evaluation, RunSpec, TaskSource

BALANCED = torch.tensor([0, 1] * 50)
LN2 = math.log(2)


def decaying(end: float, rate: float, steps: int = 400) -> list[float]:
    """A loss that starts at ln 2 and comes nearer to `end` by exp(-rate) over the training."""
    return [end + (LN2 - end) * math.exp(-rate * step / steps) for step in range(steps)]


@pytest.mark.parametrize(
    ("losses", "converged"),
    [
        (decaying(0.5, 20), True),  # down early, then flat
        (decaying(0.0, 1), False),  # on its way all along
        (decaying(0.0, 12), True),  # learned by heart
        ([LN2] * 400, True),  # nothing to learn
        ([LN2 - 0.0005 * step for step in range(400)], False),
        ([1.0, 0.5], False),  # too few steps to tell
        ([math.nan] * 400, False),
        ([0.5] * 399 + [math.inf], False),
    ],
)
def test_a_loss_that_still_falls_at_the_end_has_not_converged(
    losses: list[float], converged: bool
) -> None:
    assert has_converged(losses, BALANCED) == converged


def test_noise_of_single_batches_decides_nothing() -> None:
    noise = np.random.default_rng(0).normal(0, 0.08, 400)
    assert has_converged(list(0.5 + noise), BALANCED)
    assert not has_converged(list(np.array(decaying(0.0, 1)) + noise), BALANCED)


def test_losses_are_measured_against_the_labels_own() -> None:
    labels = torch.tensor([0] * 90 + [1] * 10)
    shares = np.array([0.9, 0.1])
    assert label_loss(labels) == pytest.approx(-(shares * np.log(shares)).sum())
    numbers = torch.tensor([1.0, 2.0, 4.0])
    assert label_loss(numbers) == pytest.approx(np.var([1, 2, 4]))
    # The same fall is a larger share of a smaller loss: 0.03 of 0.69 nats, and of 0.33 nats.
    falling = [0.6] * 100 + [0.48] * 100 + [0.46] * 100 + [0.45] * 100
    assert has_converged(falling, BALANCED)
    assert not has_converged(falling, labels)


@pytest.mark.slow
def test_a_result_and_its_floor_say_whether_the_training_had_converged(
    model_dir: Path,
    glue_dir: Path,
    make_folder: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = replace(PROTOCOLS["fixed"], min_steps=0, epochs=6, batch_size=8, learning_rate=3e-5)
    long = replace(short, epochs=40, learning_rate=1e-3)
    evaluation = Evaluation(tasks=["rte"], source=TaskSource(local=str(glue_dir)), seeds=[0, 1])

    def make(folder: Path) -> None:
        import shutil

        shutil.copytree(make_folder(seed=1), folder)

    for protocol, converged in ((short, False), (long, True)):
        monkeypatch.setitem(PROTOCOLS, "fixed", protocol)
        folder = tmp_path / str(converged)
        tasks = evaluate(model_dir, evaluation, folder)
        tasks = add_floors(tasks, model_dir, evaluation, make)
        rte = tasks["rte"]
        assert rte["converged"] is rte["untrained_converged"] is converged
        assert rte["training"] == {
            "learning_rate": protocol.learning_rate,
            "batch_size": 8,
            "epochs": protocol.epochs,
            "steps": {"0": 6 * protocol.epochs, "1": 6 * protocol.epochs},
            "converged": {"0": converged, "1": converged},
        }
        warnings = warnings_for({"tasks": tasks}, RunSpec(name="a", evaluation=evaluation))
        told = [text for text in warnings if "still falling" in text]
        assert bool(told) != converged
        assert all("on rte and of the model without pretraining on rte" in text for text in told)


def test_an_early_stopping_has_converged_if_it_ended_the_training(
    model_dir: Path, glue_dir: Path
) -> None:
    data = load_task("rte", TaskSource(local=str(glue_dir)))
    cards = replace(PROTOCOLS["paper-cards"], learning_rate=1e-3, batch_size=8, patience=2)
    stopped = fine_tune(model_dir, data, replace(cards, epochs=60), 0)
    assert stopped["stopping"]["epochs"] < 60
    assert stopped["training"]["converged"]
    assert not fine_tune(model_dir, data, replace(cards, epochs=2), 0)["training"]["converged"]

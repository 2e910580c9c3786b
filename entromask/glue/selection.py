"""Selects the learning rate of a fine-tuning on rows held out of the training split."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from entromask.errors import InputError
from entromask.glue.batches import EncodedSplit, Ints
from entromask.glue.cells import read_cell, write_cell
from entromask.glue.fine_tuning import Progress, answers, finite_loss, predict, train_classifier
from entromask.glue.metrics import score_predictions, task_score
from entromask.glue.tasks import Task
from entromask.presets import Protocol

Selection = dict[str, Any]

_HELD_OUT_SHARE = 0.1
_HELD_OUT_MOST = 1000
# Of the rows that are held out, and of the trainings that are compared: the same for every
# fine-tuning seed, so that a seed that is computed on its own selects what the others do.
_SEED = 0


def held_out(rows: int) -> tuple[Ints, Ints]:
    """The row numbers to train on and those held out: a tenth, at most 1,000, the same each time.

    Raises:
        InputError: there are fewer than two rows.
    """
    if rows < 2:
        raise InputError(
            "a training split of one row leaves none to select the learning rate on",
            "use evaluation.protocol: fixed",
        )
    order = np.random.default_rng(_SEED).permutation(rows)
    count = min(_HELD_OUT_MOST, max(1, int(rows * _HELD_OUT_SHARE)))
    return np.sort(order[count:]), np.sort(order[:count])


def select_learning_rate(
    model_dir: Path,
    task: Task,
    train: EncodedSplit,
    protocol: Protocol,
    device: str | torch.device = "cpu",
    on_progress: Progress | None = None,
) -> Selection:
    """Fine-tunes once with each of the protocol's learning rates and scores it on held-out rows.

    Args:
        task: whose metrics decide.
        train: its whole training split; no other rows are seen.
        on_progress: called with (steps done, steps) of all trainings together.

    Returns:
        `learning_rate`, the one with the highest score among those whose loss is finite (of equal
        scores, the lowest loss);
        `held_out_rows`; `scores` and `losses` by learning rate, in the order of the protocol.

    Raises:
        InputError: there are too few rows.
    """
    rest, held = held_out(len(train))
    rows, judged = train.subset(rest), train.subset(held)
    rates = protocol.learning_rates
    scores: dict[str, float] = {}
    losses: dict[str, float] = {}
    for number, rate in enumerate(rates):
        model = train_classifier(
            model_dir,
            task,
            rows,
            replace(protocol, learning_rate=rate),
            _SEED,
            device,
            on_progress and part_of(on_progress, number, len(rates)),
        )
        logits = predict(model, judged)
        predicted = score_predictions(task, answers(task, logits), judged.labels.tolist())
        scores[str(rate)] = task_score(predicted)
        losses[str(rate)] = finite_loss(logits, judged.labels)

    def merit(rate: float) -> tuple[bool, float, float]:
        # A model that diverged predicts one class, which can score more than a poor one.
        loss = losses[str(rate)]
        return math.isfinite(loss), scores[str(rate)], -loss

    return {
        "learning_rate": max(rates, key=merit),
        "held_out_rows": len(judged),
        "scores": scores,
        "losses": {rate: loss if math.isfinite(loss) else None for rate, loss in losses.items()},
    }


def selection_in(
    file: Path,
    setup: str,
    select: Callable[[], Selection],
    on_message: Callable[[str], None],
) -> Selection:
    """The selection that a file holds; where it holds none, `select` makes it, once for all.

    Whoever asks meanwhile, for another fine-tuning seed, waits for it.

    Args:
        setup: the fingerprint of what the selection depends on.
        on_message: told of a file that cannot be used.

    Raises:
        DiskFullError: there is no room; whatever `select` raises.
    """
    with FileLock(file.with_suffix(".lock")):
        kept, problem = read_cell(file, setup)
        if problem is not None:
            on_message(problem)
        if kept is None:
            kept = select()
            write_cell(file, setup, kept)
    return kept


def part_of(on_progress: Progress, number: int, count: int) -> Progress:
    """The progress of one of `count` trainings of as many steps, as that of all of them."""
    return lambda done, total: on_progress(number * total + done, count * total)

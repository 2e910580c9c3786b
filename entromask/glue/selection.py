"""Selects the learning rate of a fine-tuning on rows held out of the training split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from entromask.errors import InputError
from entromask.glue.batches import EncodedSplit, Ints
from entromask.glue.cells import read_cell, write_cell
from entromask.glue.fine_tuning import (
    Progress,
    answers,
    finite_loss,
    predict,
    train_classifier,
    width_of,
)
from entromask.glue.metrics import score_predictions, task_score
from entromask.glue.targets import TargetScale
from entromask.glue.tasks import Task
from entromask.presets import Protocol

Selection = dict[str, Any]

_HELD_OUT_SHARE = 0.1
_HELD_OUT_MOST = 1000
# Of the rows that are held out, and of the trainings that are compared: the same for every
# fine-tuning seed, so that a seed that is computed on its own selects what the others do.
_SEED = 0
# A grid whose best rate is at an edge is extended by this factor, until it ends so far beyond the
# first grid (three extensions; a little less, since rates are rounded).
_EXTENSION = 3.0
_FARTHEST = 25.0


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
    """Fine-tune once with each learning rate of a grid and score it on held-out training rows.

    The grid is `protocol.rate_factors` times the rate for the model's width. While the best rate
    is at an edge, the grid is extended there by a factor of three, at most three times.

    Args:
        task: whose metrics decide.
        train: its whole training split; no other rows are seen.
        on_progress: called with (steps done, steps) of all trainings together; an extension adds
            to the steps.

    Returns:
        `learning_rate`, the one with the highest score among those whose loss is finite (of equal
        scores, the lowest loss); `at_edge`, whether the extended grid still ends there;
        `held_out_rows`; `scores` and `losses` by learning rate, in ascending order.

    Raises:
        InputError: there are too few rows.
    """
    rest, held = held_out(len(train))
    rows, judged = train.subset(rest), train.subset(held)
    if task.labels == 0:
        scale = TargetScale.of(rows.labels)
        rows, judged = scale.standardized(rows), scale.standardized(judged)
    scores: dict[float, float] = {}
    losses: dict[float, float] = {}
    steps = protocol.steps(len(rows))

    def report(done: int, _: int) -> None:
        if on_progress is not None:
            on_progress(len(scores) * steps + done, (len(scores) + 1 + len(pending)) * steps)

    def merit(rate: float) -> tuple[bool, float, float]:
        # A model that diverged predicts one class, which can score more than a poor one.
        return math.isfinite(losses[rate]), scores[rate], -losses[rate]

    grid = rate_grid(protocol, width_of(model_dir))
    pending = list(grid)
    while pending:
        rate = pending.pop(0)
        trained = replace(protocol, learning_rate=rate, rate_factors=())
        model, _ = train_classifier(model_dir, task, rows, trained, _SEED, device, report)
        logits = predict(model, judged)
        losses[rate] = finite_loss(logits, judged.labels)
        scores[rate] = task_score(
            score_predictions(task, answers(task, logits), judged.labels.tolist())
        )
        best = max(sorted(scores), key=merit)
        if not pending:
            pending = _beyond(best, scores, grid)
    ascending = sorted(scores)
    return {
        "learning_rate": best,
        "at_edge": best in (ascending[0], ascending[-1]),
        "held_out_rows": len(judged),
        "scores": {str(rate): scores[rate] for rate in ascending},
        "losses": {
            str(rate): losses[rate] if math.isfinite(losses[rate]) else None for rate in ascending
        },
    }


def rate_grid(protocol: Protocol, width: int) -> list[float]:
    """Return the learning rates that are tried first, for a model of this width."""
    center = protocol.learning_rate_of(width)
    return [_rounded(factor * center) for factor in protocol.rate_factors]


def _beyond(best: float, tried: Iterable[float], grid: Sequence[float]) -> list[float]:
    """Return the next rate beyond the edge at which the best one lies; none if it lies inside."""
    lowest, highest = min(tried), max(tried)
    if best == highest and best < max(grid) * _FARTHEST:
        return [_rounded(best * _EXTENSION)]
    if best == lowest and best > min(grid) / _FARTHEST:
        return [_rounded(best / _EXTENSION)]
    return []


def _rounded(rate: float) -> float:
    """Round a learning rate to two significant digits, as people write them."""
    return float(f"{rate:.2g}")


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

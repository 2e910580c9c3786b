"""Whether a fine-tuning had converged, from its training losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

# By this share of the labels' own loss a training may still improve in half of its steps.
_STILL_FALLING = 0.06
# Below this share of it the model has learned the training rows, however fast the rest goes.
_LEARNED = 0.25
# Fewer steps have no quarters to compare.
_FEWEST_STEPS = 8


def has_converged(losses: Sequence[float], labels: Tensor) -> bool:
    """Return whether a training loss had stopped falling when its training ended.

    The mean loss of the last quarter of the steps is compared with that of the second quarter. Both
    are measured in units of the loss of always predicting the labels' distribution (a regression:
    their mean). Converged is a training whose loss fell by at most 0.06 such units, or is below a
    quarter of one: the rows are then learned, and what is left decides no row. Neighbouring
    quarters would not do: the learning rate decays to zero, which flattens the end of any training.

    Args:
        losses: of every step, in nats, or squared errors of a regression.
        labels: [N] of the training rows: class numbers, or the numbers of a regression.
    """
    if len(losses) < _FEWEST_STEPS or not all(map(math.isfinite, losses)):
        return False
    values = torch.tensor(losses, dtype=torch.float64)
    quarter = len(losses) // 4
    last = values[-quarter:].mean().item()
    second = values[quarter : 2 * quarter].mean().item()
    unit = label_loss(labels)
    return last <= _LEARNED * unit or second - last <= _STILL_FALLING * unit


def label_loss(labels: Tensor) -> float:
    """Return the loss of the best constant prediction: the labels' entropy, or their variance."""
    if labels.is_floating_point():
        return labels.double().var(correction=0).item()
    shares = torch.bincount(labels).double() / len(labels)
    return -torch.xlogy(shares, shares).sum().item()

"""Ends a fine-tuning whose loss no longer falls, and brings back its best epoch."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from entromask.glue.batches import EncodedSplit
from entromask.glue.fine_tuning import finite_loss, predict


class EarlyStopping:
    """Asked after each epoch, as `ends_after` of `train_classifier`.

    Args:
        rows: whose loss decides; the lowest is the best.
        patience: so many epochs in a row without a lower loss end the training.

    Attributes:
        ended: whether they did.
    """

    def __init__(self, rows: EncodedSplit, patience: int) -> None:
        self.losses: list[float] = []
        self._rows = rows
        self._patience = patience
        self.ended = False
        self._best = 0
        self._weights: dict[str, Tensor] = {}

    def __call__(self, model: PreTrainedModel) -> bool:
        loss = finite_loss(predict(model, self._rows), self._rows.labels)
        if not self.losses or loss < self.losses[self._best]:
            self._best = len(self.losses)
            # In main memory: the device need not hold a second model.
            self._weights = {k: v.to("cpu", copy=True) for k, v in model.state_dict().items()}
        self.losses.append(loss)
        self.ended = len(self.losses) - 1 - self._best >= self._patience
        return self.ended

    def restore(self, model: PreTrainedModel) -> None:
        """Gives the model the weights of its best epoch."""
        model.load_state_dict(self._weights)

    def report(self) -> dict[str, Any]:
        """`epochs` run, `best_epoch` (counted from 1) and the `losses` (null: not finite)."""
        return {
            "epochs": len(self.losses),
            "best_epoch": self._best + 1,
            "losses": [loss if math.isfinite(loss) else None for loss in self.losses],
        }

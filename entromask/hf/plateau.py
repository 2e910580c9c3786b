"""The loss that ends the warm-up 'plateau' in a Trainer, measured beside the training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from entromask.errors import InputError
from entromask.masking.scoring import evaluating

_ROWS = 64
_LOOKS = 100  # of a run whose logs do not come every few steps


class Plateau:
    """Measures the model in training on fixed random masks of rows of its training set.

    The Trainer's own figure will not do: with gradient accumulation it logs the sum of the losses
    of the accumulated batches for models that do not take `num_items_in_batch`, and with label
    smoothing another loss.

    Args:
        loader: of the training; its data set and its `collate_fn` are used.
        masks_are_fixed: while it is open, `collate_fn` gives the fixed masks.
        args: TrainingArguments.
    """

    def __init__(
        self, loader: Any, masks_are_fixed: AbstractContextManager[None], args: Any
    ) -> None:
        self._args = args
        rows = list(_spread(loader.dataset))
        size = args.per_device_train_batch_size
        with masks_are_fixed:
            self._batches: list[Mapping[str, Any]] = [
                loader.collate_fn(rows[start : start + size]) for start in range(0, len(rows), size)
            ]

    def is_due(self, state: Any) -> bool:
        """Whether to measure after this step.

        As often as the Trainer logs, but not so often that it costs more than a third of the
        training.
        """
        args = self._args
        by_steps = str(getattr(args.logging_strategy, "value", args.logging_strategy)) == "steps"
        every = state.logging_steps if by_steps else max(1, state.max_steps // _LOOKS)
        a_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        return bool(state.global_step % max(every, -(-_ROWS // a_step)) == 0)

    def loss(self, model: Any, autocast: AbstractContextManager[Any]) -> float:
        """The mean cross-entropy in nats over all masked positions, of all processes.

        Raises:
            InputError: the model computes no loss.
        """
        device = next(model.parameters()).device
        sums = torch.zeros(2, dtype=torch.float64, device=device)
        with evaluating(model), autocast:
            for batch in self._batches:
                inputs = {
                    name: value.to(device) if isinstance(value, Tensor) else value
                    for name, value in batch.items()
                }
                predicted = int((inputs["labels"] >= 0).sum())
                sums += torch.tensor([_loss(model(**inputs)) * predicted, predicted]).to(sums)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        total, positions = sums.tolist()
        return float(total / positions)


def _spread(dataset: Any) -> Iterator[Any]:
    """A few examples from all over a data set; from the start of one that only streams."""
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        for row in np.linspace(0, len(dataset) - 1, min(_ROWS, len(dataset))).astype(int):
            yield dataset[int(row)]
    else:
        yield from islice(iter(dataset), _ROWS)


def _loss(outputs: Any) -> float:
    loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs[0]
    if loss is None:
        raise InputError(
            "the model computes no loss from labels, by which the warm-up 'plateau' would end",
            "give the warm-up as a share of the run, such as 0.1",
        )
    return float(loss)

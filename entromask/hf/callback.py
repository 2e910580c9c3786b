"""What tells the collator of the training in a Trainer, and measures the loss of its warm-up."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from entromask.hf.plateau import Plateau

if TYPE_CHECKING:
    from entromask.hf.collator import EntropyMaskingCollator

# Of an entry of the Trainer's log_history, which a resumed run reads again.
WARMUP_LOSS = "masking_warmup_loss"


class MaskingCallback(TrainerCallback):  # type: ignore[misc]
    """Tells a collator where the training is, and which model is trained.

    It measures the loss that ends the warm-up 'plateau', and leaves it in the Trainer's
    `log_history`, as `masking_warmup_loss`.

    Attributes:
        evaluation_is_fixed: whether evaluations get the masks of `for_evaluation`.
    """

    def __init__(self, collator: EntropyMaskingCollator) -> None:
        self._collator = collator
        self._epoch = 0
        self._plateau: Plateau | None = None
        self._measured: float | None = None
        self.evaluation_is_fixed = False

    def on_init_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._collator.attach(args, more["model"])
        self._collator.set_epoch(0)  # for an evaluation before any training

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        collator = self._collator
        collator.attach(args, more["model"])
        # Counted from here: with a data set of unknown length, state.epoch is a share of the run.
        self._epoch = int(state.epoch or 0) - 1
        for entry in state.log_history:  # of a run that is resumed
            if WARMUP_LOSS in entry:
                collator.heard_loss(float(entry[WARMUP_LOSS]))
        if args.load_best_model_at_end and not self.evaluation_is_fixed:
            _warn_of_selection(args.metric_for_best_model)
        if collator.plateau_loss is None or collator.strategy_is_on:
            return
        if (loader := more.get("train_dataloader")) is not None:
            self._plateau = Plateau(loader, collator.masks_are_fixed(), args)
            self._measure(args, state, more["model"])

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._epoch += 1
        self._tell(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self._tell(state)
        if self._plateau is not None and self._plateau.is_due(state):
            self._measure(args, state, more["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        collator = self._collator
        if collator.plateau_loss is None or collator.strategy_is_on or self._measured is None:
            return
        if state.is_world_process_zero:
            warnings.warn(
                f"the warm-up 'plateau' never ended, so that all masks of this training were "
                f"random: the loss on random masks was {self._measured:.2f} nats at the end, and "
                f"the warm-up ends below {collator.plateau_loss:.2f}; train for longer, with "
                "another learning rate or smaller batches, or give the warm-up as a share of the "
                "run",
                stacklevel=2,
            )

    def _tell(self, state: Any) -> None:
        self._collator.set_epoch(self._epoch, min(1.0, state.global_step / state.max_steps))

    def _measure(self, args: Any, state: Any, model: Any) -> None:
        assert self._plateau is not None
        self._measured = self._plateau.loss(model, _autocast(args, model))
        entry = {WARMUP_LOSS: self._measured, "epoch": state.epoch, "step": state.global_step}
        state.log_history.append(entry)
        self._collator.heard_loss(self._measured)
        if self._collator.strategy_is_on:
            self._plateau = None


def _autocast(args: Any, model: Any) -> Any:
    precision = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
    if precision is None:
        return nullcontext()
    return torch.autocast(next(model.parameters()).device.type, dtype=precision)


def _warn_of_selection(metric: str | None) -> None:
    if metric not in (None, "loss", "eval_loss"):
        return
    warnings.warn(
        "load_best_model_at_end compares eval_loss, which is on the strategy's own masks, other "
        "ones at each evaluation; entromask.hf.MaskingTrainer evaluates on fixed masks",
        stacklevel=2,
    )

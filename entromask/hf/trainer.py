"""A Trainer whose evaluation loss can be compared."""

from __future__ import annotations

from typing import Any

from transformers import Trainer

from entromask.errors import InputError
from entromask.hf.collator import EntropyMaskingCollator


class MaskingTrainer(Trainer):  # type: ignore[misc]
    """The Trainer with an EntropyMaskingCollator: its callback is added, evaluations are fixed.

    Evaluation and prediction batches get the masks of `collator.for_evaluation()`, whatever the
    strategy, so that `eval_loss` compares from one evaluation, and one strategy, to the next, and
    `load_best_model_at_end` finds the best model.

    Raises:
        InputError: `data_collator` is not an EntropyMaskingCollator.
    """

    data_collator: Any

    def __init__(self, *args: Any, **more: Any) -> None:
        collator = more.get("data_collator", args[2] if len(args) > 2 else None)
        if not isinstance(collator, EntropyMaskingCollator):
            raise InputError(
                f"data_collator of a MaskingTrainer is a {type(collator).__name__}, not an "
                "EntropyMaskingCollator",
                "pass data_collator=EntropyMaskingCollator(tokenizer, ...)",
            )
        callbacks = list(more.pop("callbacks", None) or [])
        if collator.callback not in callbacks:
            callbacks.append(collator.callback)
        self._for_evaluation = collator.for_evaluation()
        super().__init__(*args, callbacks=callbacks, **more)
        collator.callback.evaluation_is_fixed = True

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        return self._with_fixed_masks(super().get_eval_dataloader, eval_dataset)

    def get_test_dataloader(self, test_dataset: Any) -> Any:
        return self._with_fixed_masks(super().get_test_dataloader, test_dataset)

    def _with_fixed_masks(self, make: Any, dataset: Any) -> Any:
        training, self.data_collator = self.data_collator, self._for_evaluation
        try:
            return make(dataset)
        finally:
            self.data_collator = training

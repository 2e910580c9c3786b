"""A data collator for the Hugging Face Trainer that masks as Entromask's own loop does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.hf.arguments import (
    Model,
    check_arguments,
    checked_counts,
    checked_model,
    open_teacher,
    token_types,
)
from entromask.hf.callback import MaskingCallback
from entromask.hf.features import Features, padded
from entromask.hf.scores import ModelScores, corpus_scores, unigram_loss
from entromask.masking.masker import Masker
from entromask.masking.own import OwnScore
from entromask.masking.units import WordStarts
from entromask.spec import Masking, ModelReference
from entromask.training.pretraining import PLATEAU_MARGIN
from entromask.training.validation import COMMON_SEED


class EntropyMaskingCollator:
    """Pads examples and masks them, in the place of `DataCollatorForLanguageModeling`.

        collator = EntropyMaskingCollator(tokenizer, "self-entropy-sample", counts=counts)
        Trainer(model, args, data_collator=collator, callbacks=[collator.callback], ...)

    Examples are rows of token ids, or mappings with `input_ids` and, all of them optional,
    `attention_mask`, `special_tokens_mask` (never masked where it is 1), `row_id` (the row's number
    in the data set), and what tells the units word and span where words begin: `words` (True where
    one begins), `word_ids`, or `offset_mapping`. Other columns are passed on as tensors; `labels`
    are replaced. The Trainer drops all that its model does not take unless it is told
    `remove_unused_columns=False`.

    The masks are a function of the seed, the epoch, the row's number and the scores, as in
    Entromask's own loop: the same for any batch, order, padding and number of processes. Without
    `row_id`, a hash of the row's token ids stands in for the number, so that equal rows get equal
    masks. Scores of a model are the same up to the rounding of its arithmetic.

    Scores of a teacher and of the model itself take a forward pass for each batch (seven in the
    masked view), evaluation batches included. A teacher's are rounded like those of a store
    unless the masking says `refresh: fresh`, so that the masks are those of Entromask's loop. The
    Trainer collates one batch ahead: the model's own are those of its weights up to one step
    earlier. They do not see `token_type_ids`.

    Args:
        tokenizer: of the examples.
        masking: the name of a preset, the parts as a mapping, or a Masking.
        seed: of the masks.
        model: that supplies the scores of source self; None: the one that the Trainer trains.
        teacher: for source teacher: a masked language model, a model folder, a name on the Hub,
            or a reference such as `{"run": "RUN"}`.
        counts: [V], how often each type occurs in the data set: for score frequency, strategies
            of one's own, and warm-up 'plateau'.
        scores: (rows [B, T], row_ids [B]) -> scores [B, T], for score pmi, or for a score of
            one's own with a masking whose score is uniform.
        pad_to_multiple_of: rounds the length of a batch up; the padding is on the tokenizer's
            `padding_side`.
        return_tensors: "pt" for tensors, "np" for numpy arrays.

    Attributes:
        callback: tells the collator of the epoch, the progress and the model; belongs into the
            Trainer's `callbacks`.

    Raises:
        InputError: a masking that cannot be had here, or arguments that do not fit it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        masking: Masking | Mapping[str, Any] | str = "self-entropy-sample",
        *,
        seed: int = 0,
        model: Model | None = None,
        teacher: Model | ModelReference | Mapping[str, Any] | str | Path | None = None,
        counts: NDArray[Any] | Tensor | Sequence[int] | None = None,
        scores: OwnScore | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str = "pt",
    ) -> None:
        self.tokenizer = tokenizer
        self.return_tensors = _checked_kind(return_tensors)
        self.pad_to_multiple_of = pad_to_multiple_of
        self._masker = Masker(masking, tokenizer, seed)
        self.masking = self._masker.masking
        check_arguments(self.masking, model=model, teacher=teacher, counts=counts, scores=scores)
        self._types = token_types(tokenizer)
        table = None if counts is None else checked_counts(counts, self._types)
        self._plateau = None if table is None else unigram_loss(table) - PLATEAU_MARGIN
        self._model_given = model is not None
        self._of_model: ModelScores | None = None
        if self.masking.source in ("teacher", "self"):
            known = None if model is None else checked_model(model, "model", tokenizer)
            if teacher is not None:
                known = open_teacher(teacher, tokenizer)
            self._of_model = ModelScores(self._masker, tokenizer, known)
        self._of_rows = corpus_scores(self.masking, tokenizer, table, scores)
        self._word_starts: WordStarts | None = None
        # In shared memory, so that worker processes that outlive an epoch see it move: the epoch
        # (-1: nobody has told), the share of the run done, and whether the plateau is left.
        self._clock = torch.tensor([-1.0, 0.0, 0.0], dtype=torch.float64)
        self._clock.share_memory_()  # type: ignore[no-untyped-call]
        self.callback = MaskingCallback(self)
        self._fixed: EntropyMaskingCollator | None = None  # masks in this one's place
        self._is_fixed = False

    def __call__(
        self, examples: Sequence[Any] | Mapping[str, Any], return_tensors: str | None = None
    ) -> dict[str, Any]:
        """One batch.

        Args:
            examples: mappings, or rows of token ids; or a mapping of columns, as a tokenizer
                gives it.
            return_tensors: "pt" or "np"; None: that of the collator.

        Returns:
            input_ids and labels [B, T] int64, the labels -100 where nothing is predicted;
            attention_mask [B, T]; the further columns.

        Raises:
            InputError: examples that do not fit together, or without any token that can be masked,
                a teacher that reads no rows of this length, source self without a model, or scores
                of a model in a worker process.
        """
        kind = _checked_kind(return_tensors or self.return_tensors)
        batch = (self._fixed or self)._batch(examples)
        return {name: value.numpy() for name, value in batch.items()} if kind == "np" else batch

    def for_evaluation(self) -> EntropyMaskingCollator:
        """A collator with fixed masks, for losses that compare.

        It masks 15 % of the tokens of a row at random, as the common validation of Entromask's
        own loop, whatever this collator's strategy: an example gets the same mask each time, in
        any batch, epoch and training.
        """
        fixed = EntropyMaskingCollator(
            self.tokenizer,
            "random",
            seed=COMMON_SEED,
            pad_to_multiple_of=self.pad_to_multiple_of,
            return_tensors=self.return_tensors,
        )
        fixed.set_epoch(0)
        fixed._is_fixed = True
        return fixed

    def _batch(self, examples: Sequence[Any] | Mapping[str, Any]) -> dict[str, Tensor]:
        features = padded(examples, self.tokenizer, self._types, self.pad_to_multiple_of)
        # What is protected looks like a special token to all that selects; the model sees it.
        framed = features.rows.masked_fill(features.protected, self._masker.mask_id)
        inputs, labels = self._masker(
            framed,
            features.row_ids,
            self._epoch(),
            self._scores(features, framed) if self.strategy_is_on else None,
            words=self._words(features),
            progress=float(self._clock[1]),
        )
        if not bool((labels >= 0).any()):
            raise InputError(
                f"no token of a batch of {len(labels)} examples can be masked: all are special "
                "tokens, padding, or marked by special_tokens_mask",
                "leave such examples out of the data set: the loss of the batch would be nan",
            )
        inputs = torch.where(features.protected, features.rows, inputs)
        return {
            "input_ids": features.turned_back(inputs),
            "attention_mask": features.turned_back(features.attention_mask),
            "labels": features.turned_back(labels),
            **features.others,
        }

    @property
    def strategy_is_on(self) -> bool:
        """False in the warm-up, while masks are uniform."""
        if self.masking.warmup == "plateau":
            return bool(self._clock[2])
        return float(self._clock[1]) >= float(self.masking.warmup or 0)

    def set_epoch(self, epoch: int, progress: float = 0.0) -> None:
        """What the callback does, for a loop of one's own; progress: share of the run done."""
        if self._is_fixed:
            return
        self._clock[0], self._clock[1] = epoch, progress

    def heard_loss(self, loss: float) -> None:
        """Ends the warm-up 'plateau' once a loss on random masks is 0.5 nats below the unigram's.

        For a loop of one's own: in a Trainer, the callback measures. In the warm-up masks are
        random, so that a training loss will do, if it is a mean over predicted tokens.
        """
        if self._plateau is not None and loss < self._plateau:
            self._clock[2] = 1.0

    def attach(self, args: Any, model: Any) -> None:
        """Takes device and precision from a Trainer, and its model if none was given.

        Args:
            args: its TrainingArguments.
            model: that it trains.

        Raises:
            InputError: the masking cannot be had with these arguments, or of this model.
        """
        if self._of_model is None:
            return
        takes = self.masking.source == "self" and not self._model_given
        if takes and not self._of_model.asks(model):
            self._of_model.model = checked_model(model, "model", self.tokenizer)
        self._of_model.attach(args)

    @property
    def plateau_loss(self) -> float | None:
        """The loss in nats below which the warm-up 'plateau' ends; None: no such warm-up."""
        return self._plateau if self.masking.warmup == "plateau" else None

    @contextmanager
    def masks_are_fixed(self) -> Iterator[None]:
        """Gives the masks of `for_evaluation` in the body."""
        self._fixed = self.for_evaluation()
        try:
            yield
        finally:
            self._fixed = None

    def _epoch(self) -> int:
        epoch = int(self._clock[0])
        if epoch < 0:
            warnings.warn(
                "nobody tells the masking collator of the training: masks repeat every epoch, and "
                "neither a warm-up nor a schedule moves; pass callbacks=[collator.callback] to "
                "the Trainer, or call collator.set_epoch",
                stacklevel=3,
            )
            epoch = 0
            self._clock[0] = 0
        return epoch

    def _scores(self, features: Features, framed: Tensor) -> Tensor | None:
        if self._of_model is not None:
            return self._of_model(features, self._masker.maskable(framed))
        if self._of_rows is not None:
            return self._of_rows(features.rows, features.row_ids)
        return None

    def _words(self, features: Features) -> Tensor | None:
        if features.gaps is None or self.masking.unit == "token":
            return features.words
        self._word_starts = self._word_starts or WordStarts(self.tokenizer)
        return features.gaps | self._word_starts(features.rows)


def _checked_kind(return_tensors: str) -> str:
    if return_tensors not in ("pt", "np"):
        raise InputError(
            f"return_tensors is {return_tensors!r}; allowed: 'pt' (tensors), 'np' (numpy arrays)",
            "leave it out for tensors",
        )
    return return_tensors

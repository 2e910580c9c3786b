"""Where the scores of a collated batch come from: a model that is asked, or the rows alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.hf.features import Features
from entromask.masking.frequency import FrequencyScore
from entromask.masking.levels import Scale, from_levels, scale_of, to_levels
from entromask.masking.masker import Masker
from entromask.masking.own import OwnScore, own_score
from entromask.masking.scoring import Score, highest_score, masked_scores, visible_scores
from entromask.masking.store import LEVELS
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import Masking
from entromask.text.encoding import frame_ids


class ModelScores:
    """Scores of a teacher, or of the model in training as it is now: a forward pass or seven.

    Args:
        masker: knows the masking, and its source teacher or self.
        tokenizer: of the rows.
        model: that is asked; None: not known yet.
    """

    def __init__(
        self, masker: Masker, tokenizer: PreTrainedTokenizerBase, model: SparseMaskedLM | None
    ) -> None:
        self.model = model
        self._masking, self._mask_id = masker.masking, masker.mask_id
        self._special = frame_ids(tokenizer)
        self._score: Score = "surprisal" if self._masking.score == "surprisal" else "entropy"
        self._precision: torch.dtype | None = None

    def asks(self, model: Any) -> bool:
        """Whether this is the model that is asked."""
        return self.model is not None and self.model.model is model

    def attach(self, args: Any) -> None:
        """Takes device and precision from a Trainer's arguments.

        Raises:
            InputError: its batches are made in worker processes.
        """
        if args.dataloader_num_workers > 0:
            raise _in_workers(f"dataloader_num_workers is {args.dataloader_num_workers}")
        self._precision = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
        if self._masking.source == "teacher" and self.model is not None:
            self.model.to(args.device)

    def __call__(self, features: Features, maskable: Tensor) -> Tensor:
        """Scores [B, T] of the positions `maskable` [B, T] (in the masked view of all), in nats.

        Raises:
            InputError: no model, a teacher that cannot read the rows, or a worker process.
        """
        if torch.utils.data.get_worker_info() is not None:
            raise _in_workers("this is one of them")
        if self.model is None:
            raise InputError(
                "source self needs the model that is trained, and nobody has named it",
                "pass callbacks=[collator.callback] to the Trainer, or model= to the collator",
            )
        of_teacher = self._masking.source == "teacher"
        if of_teacher:
            _check_length(self.model, features.rows.shape[1])
        with self._autocast(self.model):
            scores = self._ask(self.model, features, maskable)
        return self._as_the_loop_s(scores, self.model) if of_teacher else scores

    def _ask(self, model: SparseMaskedLM, features: Features, maskable: Tensor) -> Tensor:
        attended = features.attention_mask
        attention_mask = None if bool(attended.all()) else attended
        if self._masking.view == "visible":
            return visible_scores(
                model,
                features.rows,
                score=self._score,
                where=maskable,
                attention_mask=attention_mask,
            )
        return masked_scores(
            model,
            self._mask_id,
            self._special,
            features.rows,
            features.row_ids,
            score=self._score,
            attention_mask=attention_mask,
        )

    def _as_the_loop_s(self, scores: Tensor, teacher: SparseMaskedLM) -> Tensor:
        """Rounded as in a store, from which Entromask's loop reads them unless refresh is fresh."""
        if not bool(torch.isfinite(scores).all()):
            raise InputError(
                "the teacher gives scores that are not finite",
                "its weights are damaged, or it overflows in half precision",
            )
        if self._masking.refresh == "fresh":
            return scores
        return as_stored(scores, highest_score(teacher, self._score), scale_of(self._score))

    def _autocast(self, model: SparseMaskedLM) -> AbstractContextManager[Any]:
        if self._precision is None:
            return nullcontext()
        return torch.autocast(next(model.parameters()).device.type, dtype=self._precision)


def as_stored(scores: Tensor, highest: float, scale: Scale = "linear") -> Tensor:
    """Scores [B, T] as a `ScoreStore` up to `highest` gives them back: 256 levels; float32."""
    return from_levels(to_levels(scores, highest, LEVELS, scale), highest, LEVELS, scale)


def corpus_scores(
    masking: Masking,
    tokenizer: PreTrainedTokenizerBase,
    counts: NDArray[np.int64] | None,
    scores: OwnScore | None,
) -> OwnScore | None:
    """The scores that need no model; None: uniform masks, or a model is asked.

    Raises:
        InputError: a strategy of the user's cannot be loaded.
    """
    if scores is not None:
        return _checked(scores)
    if masking.source == "corpus":  # pmi comes as `scores`
        assert counts is not None, "checked"
        frequency = FrequencyScore(counts)
        return lambda rows, row_ids: frequency(rows)
    if masking.source is not None or masking.score == "uniform":
        return None
    assert counts is not None, "checked"
    return own_score(str(masking.score), tokenizer, counts)


def unigram_loss(counts: NDArray[np.int64]) -> float:
    """The cross-entropy in nats of a corpus's tokens under the frequencies of its types.

    With add-one smoothing, as in the common validation of a run. counts: [V].
    """
    smoothed = (counts + 1) / (counts.sum() + len(counts))
    return float(-(counts / counts.sum() * np.log(smoothed)).sum())


def _checked(scores: OwnScore) -> OwnScore:
    def checked(rows: Tensor, row_ids: Tensor) -> Tensor:
        found = scores(rows, row_ids)
        if not isinstance(found, Tensor) or found.shape != rows.shape:
            what = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"scores returned {what} for rows of shape {tuple(rows.shape)}",
                "return one floating-point score for each position",
            )
        return found.float()

    return checked


def _check_length(teacher: SparseMaskedLM, length: int) -> None:
    config = teacher.config
    longest = getattr(config, "max_position_embeddings", None)
    if longest is not None and config.model_type in ("roberta", "xlm-roberta", "camembert"):
        longest -= config.pad_token_id + 1
    if longest is not None and length > longest:
        raise InputError(
            f"the teacher reads at most {longest} tokens, and a batch has rows of {length}",
            "cut the rows of the data set, or lower pad_to_multiple_of",
        )


def _in_workers(fact: str) -> InputError:
    # The hint is in the sentence too: a worker process passes on nothing else.
    return InputError(
        f"scores of a model cannot be made in worker processes of the data loader, and {fact}: "
        "set dataloader_num_workers=0",
        "maskings without a model (random, frequency, pmi) work with any number of workers",
    )

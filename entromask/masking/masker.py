"""The masker: selection, corruption and noise composed into masked rows and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.masking.corruption import corrupt
from entromask.masking.noise import uniform
from entromask.masking.rates import rate_at
from entromask.masking.selection import HARD_SELECTIONS, decided_by_ties, select
from entromask.masking.units import WordStarts, unit_starts
from entromask.spec import Masking
from entromask.spec_errors import describe
from entromask.text.encoding import frame_ids

IGNORED = -100  # transformers' label of a position that is not predicted


class Masker:
    """Masks rows as a `Masking` says; the same call always gives the same masks.

    The noise is a hash of (seed, epoch, row, position), so a row's mask does not depend on which
    other rows are in the batch, on their order, or on the device. The tokens that frame rows
    (`frame_ids`: the unknown token too, as in transformers' masking collator, but no additional
    special tokens) and those of `exclude_tokens` are never selected and never drawn as random
    tokens.

    Args:
        masking: a Masking, its parts as a mapping, or the name of a preset.
        tokenizer: of the rows; needs a mask token.
        seed: of the run.

    Raises:
        InputError: the masking is not valid, or the tokenizer does not fit.
    """

    def __init__(
        self,
        masking: Masking | Mapping[str, Any] | str,
        tokenizer: PreTrainedTokenizerBase,
        seed: int = 0,
    ) -> None:
        self.masking = _resolved(masking)
        check_tokenizer(tokenizer)
        self.seed = int(seed)
        self.mask_id = int(tokenizer.mask_token_id)
        excluded = excluded_ids(self.masking, tokenizer)
        self._special = torch.tensor(sorted({*frame_ids(tokenizer), *excluded}))
        ordinary = ordinary_ids(tokenizer)
        self._ordinary = ordinary[~torch.isin(ordinary, self._special)]
        self._tokenizer = tokenizer
        self._word_starts: WordStarts | None = None

    def __call__(
        self,
        rows: Tensor,
        row_ids: Tensor,
        epoch: int,
        scores: Tensor | None = None,
        *,
        words: Tensor | None = None,
        progress: float = 0.0,
    ) -> tuple[Tensor, Tensor]:
        """Selects and corrupts positions.

        Args:
            rows: [B, T] int64 token ids.
            row_ids: [B] int64, each row's number in the corpus.
            epoch: masks differ from epoch to epoch.
            scores: [B, T] floating point, higher for what `top` selects and `sample` prefers; a
                NaN ranks lowest. None: uniform, whatever the masking (its warm-up, for one).
            words: [B, T] bool, True where a word begins, as a packed corpus knows it; used by
                the units word and span. None: told by the token types (`WordStarts`).
            progress: share of the run that is done, from 0 to 1, for a rate with a schedule.

        Returns:
            input_ids [B, T] int64, and labels [B, T] int64: the original token where it is to be
            predicted, -100 elsewhere.

        Raises:
            ValueError: shapes, types or devices that do not fit, or another progress.
        """
        selected = self.positions(rows, row_ids, epoch, scores, words=words, progress=progress)
        self._to(rows.device)
        inputs = corrupt(
            rows,
            selected,
            self._corruption,
            self.mask_id,
            self._ordinary,
            self._noise(row_ids, epoch, rows.shape[1]),
        )
        return inputs, rows.masked_fill(~selected, IGNORED)

    def positions(
        self,
        rows: Tensor,
        row_ids: Tensor,
        epoch: int,
        scores: Tensor | None = None,
        *,
        words: Tensor | None = None,
        progress: float = 0.0,
    ) -> Tensor:
        """[B, T] bool: the positions that a call with the same arguments selects.

        Exactly max(1, round(rate x maskable tokens)) in each row that has any.
        """
        _check(rows, row_ids, scores, words)
        assert self.masking.rate is not None, "resolved"
        maskable = self.maskable(rows)
        noise = self._noise(row_ids, epoch, rows.shape[1])
        return select(
            scores,
            maskable,
            rate=rate_at(self.masking.rate, progress),
            rule=str(self.masking.select),
            noise=noise,
            temperature=float(self.masking.temperature or 1.0),
            explore=float(self.masking.explore or 0.0),
            starts=self._unit_starts(rows, words, maskable, noise),
        )

    def ties(
        self,
        rows: Tensor,
        row_ids: Tensor,
        epoch: int,
        scores: Tensor,
        *,
        words: Tensor | None = None,
        progress: float = 0.0,
    ) -> tuple[int, int]:
        """How many of the positions selected by rank are decided by ties between equal scores.

        Args: as of a call.

        Returns:
            That number, and all positions selected by rank; zeros where the selection is no rank.
        """
        if self.masking.select not in HARD_SELECTIONS:
            return 0, 0
        assert self.masking.rate is not None, "resolved"
        maskable = self.maskable(rows)
        noise = self._noise(row_ids, epoch, rows.shape[1])
        return decided_by_ties(
            scores,
            maskable,
            rate=rate_at(self.masking.rate, progress),
            rule=str(self.masking.select),
            explore=float(self.masking.explore or 0.0),
            starts=self._unit_starts(rows, words, maskable, noise),
        )

    def maskable(self, rows: Tensor) -> Tensor:
        """[B, T] bool: False at special tokens."""
        self._to(rows.device)
        return ~torch.isin(rows, self._special)

    def _unit_starts(
        self,
        rows: Tensor,
        words: Tensor | None,
        maskable: Tensor,
        noise: Callable[[str], Tensor],
    ) -> Tensor | None:
        unit = str(self.masking.unit)
        if unit == "token":
            return None
        if words is None:
            self._word_starts = self._word_starts or WordStarts(self._tokenizer)
            words = self._word_starts(rows)
        return unit_starts(unit, words, maskable, noise)

    def _noise(self, row_ids: Tensor, epoch: int, length: int) -> Callable[[str], Tensor]:
        return lambda stream: uniform(self.seed, stream, epoch, row_ids, length)

    def _to(self, device: torch.device) -> None:
        if self._special.device != device:
            self._special, self._ordinary = self._special.to(device), self._ordinary.to(device)

    @property
    def _corruption(self) -> Any:
        return self.masking.corruption


def check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Makes sure that rows of this tokenizer can be masked.

    Raises:
        InputError: it has no mask token, or nothing but special tokens.
    """
    if tokenizer.mask_token_id is None:
        raise InputError(
            f"the tokenizer {_name(tokenizer)} has no mask token",
            "use the tokenizer of a masked language model, or `tokenizer: {source: train}`",
        )
    if not len(ordinary_ids(tokenizer)):
        raise InputError(
            f"the tokenizer {_name(tokenizer)} has no token that is not special",
            "use the tokenizer of a masked language model, or `tokenizer: {source: train}`",
        )


def excluded_ids(masking: Masking, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids of the tokens that `masking.exclude_tokens` lists.

    Raises:
        InputError: the tokenizer has no such token.
    """
    vocabulary = tokenizer.get_vocab() if masking.exclude_tokens else {}
    for token in masking.exclude_tokens:
        if token not in vocabulary:
            raise InputError(
                f"masking.exclude_tokens lists '{token}', which is no token of the tokenizer "
                f"{_name(tokenizer)}",
                "spell tokens as the tokenizer's vocabulary has them, or remove it from the list",
            )
    return [vocabulary[token] for token in masking.exclude_tokens]


def ordinary_ids(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """[n] int64, ascending: every token id that does not frame rows."""
    ordinary = torch.ones(len(tokenizer), dtype=torch.bool)
    ordinary[[i for i in frame_ids(tokenizer) if i < len(tokenizer)]] = False
    return ordinary.nonzero().squeeze(1)


def _name(tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.name_or_path or type(tokenizer).__name__)


def _resolved(masking: Masking | Mapping[str, Any] | str) -> Masking:
    """Every part written out."""
    if not isinstance(masking, Masking):
        parts = {"preset": masking} if isinstance(masking, str) else dict(masking)
        try:
            masking = Masking.model_validate(parts)
        except ValidationError as error:
            raise InputError(f"masking: {describe(error)}", "see `entromask strategies`") from None
    return masking.resolved()


def _check(rows: Tensor, row_ids: Tensor, scores: Tensor | None, words: Tensor | None) -> None:
    if rows.dim() != 2 or rows.dtype != torch.int64:
        raise ValueError(f"rows must be [B, T] int64, not {_describe(rows)}")
    if row_ids.shape != rows.shape[:1] or row_ids.dtype != torch.int64:
        raise ValueError(
            f"row_ids must be [{len(rows)}] int64, one for each row, not {_describe(row_ids)}"
        )
    if scores is not None and (scores.shape != rows.shape or not scores.is_floating_point()):
        raise ValueError(
            f"scores must be floating point of the shape of rows, {tuple(rows.shape)}, "
            f"not {_describe(scores)}"
        )
    if words is not None and (words.shape != rows.shape or words.dtype != torch.bool):
        raise ValueError(
            f"words must be bool of the shape of rows, {tuple(rows.shape)}, not {_describe(words)}"
        )
    for name, tensor in (("row_ids", row_ids), ("scores", scores), ("words", words)):
        if tensor is not None and tensor.device != rows.device:
            raise ValueError(f"{name} is on {tensor.device}, rows on {rows.device}")


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"

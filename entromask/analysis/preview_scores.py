"""The scores by which masking presets select in the rows of a preview."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.masking.scoring import Score, masked_scores, visible_scores
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import Masking
from entromask.text.encoding import frame_ids

# Scores [B, T] of token ids [B, T], on their device.
RowScore = Callable[[Tensor], Tensor]

_CORPUS = (
    "in a corpus, which this model does not bring: preview a run whose packed corpus is still in "
    "the cache of this machine"
)
# What a score needs beside the model, and which models have it.
NEEDED = {
    "frequency": f"needs how often each token occurs {_CORPUS}",
    "pmi": f"needs how often tokens stand together {_CORPUS}",
    "amlm": "needs weights of token types, which only training with masking.score amlm makes and "
    "which this model does not bring: preview a run with the preset amlm or time-variant whose "
    "last checkpoint is still there, or a checkpoint of one",
}


class PreviewScores:
    """The scores of every row, computed once for all presets that share them.

    Whoever gives a run its scores (`source`), here the previewed model does.

    Args:
        rows: each [T] token ids, on the model's device.
        brought: by score, those of NEEDED that are there.
    """

    def __init__(
        self,
        model: SparseMaskedLM,
        tokenizer: PreTrainedTokenizerBase,
        rows: list[Tensor],
        brought: Mapping[str, RowScore],
    ) -> None:
        self._model, self._rows, self._brought = model, rows, brought
        self._mask_id = int(tokenizer.mask_token_id)
        self._special = frame_ids(tokenizer)
        self._known: dict[tuple[str | None, str | None], list[Tensor | None]] = {}

    def lacking(self, masking: Masking) -> str | None:
        """What the masking's score needs and is not there, as the predicate of a sentence."""
        score = str(masking.score)
        return None if score in self._brought else NEEDED.get(score)

    def of(self, masking: Masking) -> list[Tensor | None]:
        """[1, T] nats or another scale, for each row; None for uniform masks.

        masking: resolved, and it lacks nothing.
        """
        kind = masking.score, masking.view
        if kind not in self._known:
            self._known[kind] = [self._row(*kind, number) for number in range(len(self._rows))]
        return self._known[kind]

    def _row(self, score: str | None, view: str | None, number: int) -> Tensor | None:
        row = self._rows[number][None]
        if score == "uniform":
            return None
        if score in NEEDED:
            return self._brought[score](row)
        asked: Score = "surprisal" if score == "surprisal" else "entropy"
        if view == "visible":
            where = ~torch.isin(row, torch.tensor(self._special, device=row.device))
            return visible_scores(self._model, row, score=asked, where=where)
        numbers = torch.tensor([number], device=row.device)
        return masked_scores(self._model, self._mask_id, self._special, row, numbers, score=asked)

"""How far a run's stored scores of its own agree with what the model would say now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from entromask.training.batches import Batch
from entromask.training.scores import CachedScores, FreshScores, Inputs

# Rows that are scored anew for it, spread over the corpus.
_ROWS = 64


class CacheAgreement:
    """Compares the selection by stored scores with that by fresh ones, on the same rows and noise.

    Args:
        inputs: those of the run's scores.
        cached: the run's scores.
    """

    def __init__(self, inputs: Inputs, cached: CachedScores) -> None:
        self._masker, self._cached = inputs.masker, cached
        # Rows are scored alike in every run, whatever its batches.
        self._fresh = FreshScores(replace(inputs, rows_at_once=_ROWS), inputs.model)
        rows = inputs.corpus.train
        ids = np.linspace(0, len(rows) - 1, min(_ROWS, len(rows))).astype(np.int64)
        words = None
        if inputs.masking.unit != "token":
            words = torch.from_numpy(np.asarray(inputs.corpus.train_words[ids]).astype(bool))
        tokens = torch.from_numpy(rows[ids].astype(np.int64))
        self._batch = Batch(tokens, torch.from_numpy(ids), 0, words)

    def measure(self, epoch: int, progress: float) -> dict[str, float]:
        """The agreement now.

        Returns:
            `cache_agreement`: the share of the positions selected by stored scores that fresh ones
            select too; `cache_agreement_uniform`: the same of uniform positions, which share
            nothing but the noise; `cache_correlation`: Pearson's, of the two scores.
        """
        batch = replace(self._batch, epoch=epoch)
        stored, fresh = self._cached(batch), self._fresh(batch)
        by_stored, by_fresh, by_none = (
            self._masker.positions(
                batch.rows, batch.row_ids, epoch, scores, words=batch.words, progress=progress
            )
            for scores in (stored, fresh, None)
        )
        where = self._masker.maskable(batch.rows)
        pairs = torch.stack([stored[where], fresh[where]]).double()
        return {
            "cache_agreement": _overlap(by_stored, by_fresh),
            "cache_agreement_uniform": _overlap(by_none, by_fresh),
            "cache_correlation": _correlation(pairs),
        }


def _overlap(one: Tensor, other: Tensor) -> float:
    return float((one & other).sum() / other.sum().clamp(min=1))


def _correlation(pairs: Tensor) -> float:
    """0 where one of the two is constant."""
    if float(pairs.std(dim=1).min()) == 0.0:
        return 0.0
    return float(torch.corrcoef(pairs)[0, 1])

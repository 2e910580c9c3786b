"""Where the scores of a batch come from: nowhere, the corpus, a teacher's store, or the model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from entromask.masking import Masker
from entromask.masking.frequency import FrequencyScore
from entromask.masking.scoring import visible_entropy
from entromask.masking.store import ScoreStore
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import Masking

# (rows [b, T], row_ids [b]) -> scores [b, T] on the CPU, or None for uniform scores.
BatchScores = Callable[[Tensor, Tensor], Tensor | None]


def batch_scores(
    masking: Masking,
    model: SparseMaskedLM,
    counts: NDArray[np.int64],
    store: ScoreStore | None,
    masker: Masker,
    accelerator: Accelerator,
    rows_at_once: int,
) -> BatchScores:
    """The scores that `masking` selects by.

    Args:
        masking: resolved.
        model: in training; supplies the scores of source self.
        counts: [V] unigram counts of the corpus.
        store: the teacher's scores, where the source is a teacher.
        masker: knows the positions that can be selected; the others are not scored.
        accelerator: its precision is that of the scoring pass too.
        rows_at_once: rows of one forward pass of source self, which bounds its memory.
    """
    if masking.score == "uniform":
        return lambda rows, row_ids: None
    if masking.score == "frequency":
        frequency = FrequencyScore(counts)
        return lambda rows, row_ids: frequency(rows)
    if masking.source == "teacher":
        assert store is not None
        return lambda rows, row_ids: store.read(row_ids)

    def fresh(rows: Tensor, row_ids: Tensor) -> Tensor:
        with accelerator.autocast():
            return visible_entropy(
                model, rows, where=masker.maskable(rows), batch_size=rows_at_once
            )

    return fresh

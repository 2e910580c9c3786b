"""Pointwise mutual information of neighbouring tokens, counted in the corpus's own rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entromask.errors import InputError

LEAST_PAIRS = 5
# Tokens whose pairs are counted at once, and distinct pairs that are kept: about 100 MB each.
_CHUNK = 1 << 21
_MOST_PAIRS = 1 << 22


class PMIScore:
    """Positive PMI with the neighbour that a position goes with best, in nats.

    PMI(a, b) = ln(p(a, b) / (p(a) p(b))) of two adjacent tokens, in this order (the measure of
    PMI-Masking for two words, arXiv:2010.01825, section 3; there of words, here of token types).
    A position's score is the larger one of its pairs with the positions to its left and right in
    the row. A negative PMI, and that of a pair seen fewer than 5 times, counts as 0; so does that
    with a special token.

    Args:
        codes: [n] int64, ascending, a * V + b for each pair (a, b) with a positive PMI.
        values: [n] float32, their PMI in nats.
        vocabulary: V.
        special_ids: token ids that are never a neighbour.
    """

    def __init__(
        self,
        codes: NDArray[np.int64],
        values: NDArray[np.float32],
        vocabulary: int,
        special_ids: Sequence[int],
    ) -> None:
        self.vocabulary = vocabulary
        self._special = torch.tensor(sorted(set(special_ids)), dtype=torch.int64)
        # One more that no pair has, so that a search always ends at an entry.
        self._codes = torch.from_numpy(np.append(codes, np.iinfo(np.int64).max))
        self._values = torch.from_numpy(np.append(values, np.float32(0)))

    @classmethod
    def of_rows(
        cls, rows: NDArray[Any], counts: NDArray[np.int64], special_ids: Sequence[int]
    ) -> PMIScore:
        """Counts the pairs of a corpus in one pass; the memory has a bound of a few 100 MB.

        Beyond four million distinct pairs, those seen once so far are dropped (then those seen
        twice, until it is enough), so that in a large corpus the rarest pairs may be missed.

        Args:
            rows: [N, T] token ids, each below V.
            counts: [V], how often each type occurs in the rows; 0 for special tokens.
            special_ids: token ids that are never a neighbour.

        Raises:
            InputError: the counts are not [V], negative, or all zero.
        """
        if counts.ndim != 1 or (counts < 0).any() or not counts.any():
            raise InputError(
                f"counts of shape {counts.shape} are not one count for each token type",
                "give the counts of a packed corpus",
            )
        special = np.zeros(len(counts), dtype=bool)
        special[[one for one in special_ids if one < len(counts)]] = True
        codes, pairs, total = _count_pairs(rows, special)
        codes, pairs = codes[pairs >= LEAST_PAIRS], pairs[pairs >= LEAST_PAIRS]
        left, right = np.divmod(codes, len(counts))
        shares = counts / counts.sum()
        with np.errstate(divide="ignore"):  # counts that lack a type of the rows
            values = np.log(pairs / max(1, total)) - np.log(shares[left]) - np.log(shares[right])
        kept = np.isfinite(values) & (values > 0)
        return cls(codes[kept], values[kept].astype(np.float32), len(counts), special_ids)

    def __call__(self, rows: Tensor) -> Tensor:
        """Scores [B, T] float32 of the token ids rows [B, T] int64, on their device."""
        if self._codes.device != rows.device:
            self._special = self._special.to(rows.device)
            self._codes, self._values = self._codes.to(rows.device), self._values.to(rows.device)
        codes = rows[:, :-1] * self.vocabulary + rows[:, 1:]
        special = torch.isin(rows, self._special)
        codes = codes.masked_fill(special[:, :-1] | special[:, 1:], -1)
        found = torch.searchsorted(self._codes, codes)
        pmi = self._values[found].masked_fill(self._codes[found] != codes, 0.0)
        scores = torch.zeros(rows.shape, dtype=torch.float32, device=rows.device)
        scores[:, :-1] = pmi
        scores[:, 1:] = torch.maximum(scores[:, 1:], pmi)
        return scores


def _count_pairs(
    rows: NDArray[Any], special: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Codes [n], ascending, and counts [n] of the adjacent pairs, and how many there are in all."""
    codes, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    total = 0
    at_once = max(1, _CHUNK // max(1, rows.shape[1]))
    for start in range(0, len(rows), at_once):
        chunk = np.asarray(rows[start : start + at_once]).astype(np.int64)
        usable = ~special[chunk]
        together = usable[:, :-1] & usable[:, 1:]
        found = (chunk[:, :-1] * len(special) + chunk[:, 1:])[together]
        total += len(found)
        codes, counts = _merged(codes, counts, *np.unique(found, return_counts=True))
        rarest = 1
        while len(codes) > _MOST_PAIRS:
            codes, counts = codes[counts > rarest], counts[counts > rarest]
            rarest += 1
    return codes, counts, total


def _merged(
    codes: NDArray[np.int64],
    counts: NDArray[np.int64],
    more_codes: NDArray[np.int64],
    more_counts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Two tables of codes, each ascending, as one."""
    if not len(codes):
        return more_codes, more_counts
    both = np.concatenate([codes, more_codes])
    order = both.argsort(kind="stable")
    both = both[order]
    begins = np.flatnonzero(np.append(True, both[1:] != both[:-1]))
    return both[begins], np.add.reduceat(np.concatenate([counts, more_counts])[order], begins)

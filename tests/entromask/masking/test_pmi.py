import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from entromask.errors import InputError
from entromask.masking import Masker
from entromask.masking.pmi import LEAST_PAIRS, PMIScore
from tests.entromask.masking.tokenizers import CLS, SEP, UNK, word_tokenizer

VOCABULARY = 60
SPECIAL = [0, CLS, SEP, UNK, 4]
# These two occur together nearly always, as the others do by chance.
FIRST, SECOND = 50, 51


def corpus(count: int = 400, length: int = 40) -> NDArray[np.uint16]:
    noise = np.random.default_rng(0)
    rows = noise.integers(5, 50, (count, length)).astype(np.uint16)
    rows[:, 0], rows[:, -1], rows[:, 13] = CLS, SEP, UNK
    for row in rows[::2]:
        place = noise.choice([3, 8, 17, 22, 30])
        row[place], row[place + 1] = FIRST, SECOND
    rows[::16, 20], rows[1::16, 25] = FIRST, SECOND
    return rows


def counts_of(rows: NDArray[np.uint16]) -> NDArray[np.int64]:
    counts = np.bincount(rows.ravel(), minlength=VOCABULARY)
    counts[SPECIAL] = 0
    return counts


def reference(rows: NDArray[np.uint16]) -> dict[tuple[int, int], float]:
    """PMI of every pair of ordinary tokens, counted one by one."""
    pairs: dict[tuple[int, int], int] = {}
    single: dict[int, int] = {}
    for row in rows.tolist():
        for one in row:
            if one not in SPECIAL:
                single[one] = single.get(one, 0) + 1
        for pair in pairwise(row):
            if not set(pair) & set(SPECIAL):
                pairs[pair] = pairs.get(pair, 0) + 1
    tokens, total = sum(single.values()), sum(pairs.values())
    return {
        (a, b): math.log(count / total / (single[a] / tokens * single[b] / tokens))
        for (a, b), count in pairs.items()
        if count >= LEAST_PAIRS
    }


def test_scores_are_the_larger_positive_pmi_with_a_neighbour(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = corpus()
    expected = reference(rows)
    assert min(expected.values()) < 0 < max(expected.values())
    # Several chunks, so that tables are merged.
    monkeypatch.setattr("entromask.masking.pmi._CHUNK", 1000)
    pmi = PMIScore.of_rows(rows, counts_of(rows), SPECIAL)
    scores = pmi(torch.from_numpy(rows[:50].astype(np.int64)))
    assert scores.dtype == torch.float32
    for row, found in zip(rows[:50].tolist(), scores.tolist(), strict=True):
        with_next = [max(0.0, expected.get(pair, 0.0)) for pair in pairwise(row)]
        wanted = np.maximum([0.0, *with_next], [*with_next, 0.0])
        assert found == pytest.approx(wanted.tolist(), abs=1e-5)


def test_a_pair_counts_in_its_order_within_a_row_and_from_five_times_on() -> None:
    rows = np.array([[5, 6], [7, 8]] * LEAST_PAIRS + [[9, 10]] * (LEAST_PAIRS - 1), np.uint16)
    pmi = PMIScore.of_rows(rows, counts_of(rows), SPECIAL)
    seen = torch.tensor([[5, 6], [6, 5], [6, 7], [9, 10], [CLS, 5]])
    assert (pmi(seen) > 0).tolist() == [[True, True], *[[False, False]] * 4]


def test_too_many_pairs_keep_the_frequent_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = corpus()
    whole = PMIScore.of_rows(rows, counts_of(rows), SPECIAL)
    monkeypatch.setattr("entromask.masking.pmi._CHUNK", 4000)
    monkeypatch.setattr("entromask.masking.pmi._MOST_PAIRS", 100)
    bounded = PMIScore.of_rows(rows, counts_of(rows), SPECIAL)
    pair = torch.tensor([[FIRST, SECOND]])
    assert float(bounded(pair)[0, 0]) == pytest.approx(float(whole(pair)[0, 0]), abs=1e-6)


def selected_shares(masking: str, scores: Tensor | None, rows: Tensor) -> tuple[float, float]:
    """The shares of the collocation's tokens and of the others that are selected."""
    masker = Masker(masking, word_tokenizer(VOCABULARY - 5))
    picked = masker.positions(rows, torch.arange(len(rows)), 0, scores)
    of_pair = (rows == FIRST) | (rows == SECOND)
    return float(picked[of_pair].double().mean()), float(picked[~of_pair].double().mean())


def test_a_collocation_is_masked_more_often_than_other_words() -> None:
    rows = corpus()
    pmi = PMIScore.of_rows(rows, counts_of(rows), SPECIAL)
    tensor = torch.from_numpy(rows.astype(np.int64))
    of_pair, others = selected_shares("pmi", pmi(tensor), tensor)
    assert of_pair > 3 * others
    uniform = selected_shares("random", None, tensor)
    assert uniform[0] < 1.5 * uniform[1], "not by chance"


def test_counts_that_do_not_fit_are_refused() -> None:
    rows = corpus(4)
    for counts in (np.zeros(VOCABULARY, np.int64), np.ones((3, 3), np.int64)):
        with pytest.raises(InputError, match="not one count for each token type"):
            PMIScore.of_rows(rows, counts, SPECIAL)


@pytest.mark.gpu
def test_scores_are_the_same_on_cuda() -> None:
    rows = corpus()
    pmi = PMIScore.of_rows(rows, counts_of(rows), SPECIAL)
    tensor = torch.from_numpy(rows[:20].astype(np.int64))
    on_cpu = pmi(tensor)
    assert torch.equal(pmi(tensor.cuda()).cpu(), on_cpu)

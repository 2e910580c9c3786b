import math

import numpy as np
import pytest
import torch

from entromask.errors import InputError
from entromask.masking.frequency import FrequencyScore


def test_rare_types_score_high_and_counts_below_10_are_equal() -> None:
    counts = np.array([0, 3, 10, 87, 900], dtype=np.int64)
    score = FrequencyScore(counts)
    rows = torch.tensor([[0, 1, 2, 3, 4], [4, 4, 3, 0, 2]])
    scores = score(rows)
    assert scores.shape == rows.shape
    assert scores.dtype == torch.float32
    rare = -math.log(10 / 1000)
    expected = [rare, rare, rare, -math.log(0.087), -math.log(0.9)]
    assert scores[0].tolist() == pytest.approx(expected)
    assert scores[1].tolist() == pytest.approx([expected[i] for i in rows[1].tolist()])


def test_temperature_2_gives_weights_of_count_to_the_minus_one_half() -> None:
    scores = FrequencyScore(torch.tensor([100, 400]))(torch.tensor([[0, 1]]))
    first, second = (scores[0] / 2).exp().tolist()
    assert first / second == pytest.approx(2.0)


@pytest.mark.parametrize("counts", [[0, 0], [], [-1, 5], [[1, 2]]])
def test_counts_that_are_none_are_refused(counts: list[int]) -> None:
    with pytest.raises(InputError, match="one count for each token type"):
        FrequencyScore(np.array(counts, dtype=np.int64))

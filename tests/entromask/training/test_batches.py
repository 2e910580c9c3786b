from __future__ import annotations

import numpy as np
import pytest
import torch

from entromask.errors import InputError
from entromask.training.batches import Batches

ROWS = np.arange(50 * 4, dtype=np.uint16).reshape(50, 4)


def test_an_epoch_visits_rows_once_and_the_next_in_another_order() -> None:
    batches = Batches(ROWS, 10, seed=1)
    first = torch.cat([batches[step].row_ids for step in range(5)])
    second = torch.cat([batches[step].row_ids for step in range(5, 10)])
    assert sorted(first.tolist()) == list(range(50))
    assert sorted(second.tolist()) == list(range(50))
    assert first.tolist() != second.tolist()
    assert batches[4].epoch == 0
    assert batches[5].epoch == 1


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    forward, backward = Batches(ROWS, 8, seed=3), Batches(ROWS, 8, seed=3)
    expected = {step: forward[step].rows for step in range(12)}
    for step in reversed(range(12)):
        assert torch.equal(backward[step].rows, expected[step])
    assert not torch.equal(Batches(ROWS, 8, seed=4)[0].rows, expected[0])


def test_rows_are_those_of_their_ids() -> None:
    batch = Batches(ROWS, 10, seed=0)[2]
    assert torch.equal(batch.rows, torch.from_numpy(ROWS[batch.row_ids].astype(np.int64)))


def test_words_are_those_of_the_same_rows() -> None:
    words = ROWS % 3 == 0
    batch = Batches(ROWS, 10, seed=0, words=words)[2]
    assert batch.words is not None
    assert batch.words.dtype == torch.bool
    assert torch.equal(batch.words, batch.rows % 3 == 0)
    assert torch.equal(batch.rows, Batches(ROWS, 10, seed=0)[2].rows)
    assert Batches(ROWS, 10, seed=0)[2].words is None


def test_processes_share_a_batch_without_overlap() -> None:
    whole = Batches(ROWS, 9, seed=0)[1].row_ids.tolist()
    parts = [Batches(ROWS, 9, seed=0, rank=rank, world=2)[1].row_ids.tolist() for rank in (0, 1)]
    assert sorted(parts[0] + parts[1]) == sorted(whole)
    assert len(parts[0]) == 5


def test_a_corpus_smaller_than_a_batch_is_refused_with_both_numbers() -> None:
    with pytest.raises(InputError, match=r"50 rows of 4 tokens.* pretraining.batch_size 64"):
        Batches(ROWS, 64, seed=0)

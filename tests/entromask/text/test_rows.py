"""Rows are full, framed and lose no token of the documents."""

from __future__ import annotations

import numpy as np
import pytest

from entromask.text.rows import RowCutter

CLS, SEP = 1, 2


def cut(documents: list[list[int]], length: int, batch: int) -> np.ndarray:
    cutter = RowCutter(length, CLS, SEP, np.uint16)
    arrays = [np.array(document, dtype=np.uint16) for document in documents]
    parts = [cutter.cut(arrays[i : i + batch]) for i in range(0, len(arrays), batch)]
    return np.concatenate(parts)


def test_documents_are_joined_by_a_separator() -> None:
    rows = cut([[10, 11], [12, 13, 14, 15, 16, 17]], length=7, batch=2)
    assert rows.tolist() == [[1, 10, 11, 2, 12, 13, 2]]


def test_a_document_goes_on_in_the_next_row_and_begins_one_without_a_separator() -> None:
    rows = cut([[10, 11, 12, 13, 14, 15], [20, 21, 22, 23]], length=5, batch=1)
    assert rows.tolist() == [[1, 10, 11, 12, 2], [1, 13, 14, 15, 2], [1, 20, 21, 22, 2]]


def test_what_does_not_fill_a_row_is_left_out() -> None:
    assert cut([[10, 11, 12]], length=8, batch=1).shape == (0, 8)
    # Three tokens and the separator that nothing follows are no row of four.
    assert cut([[10, 11, 12]], length=6, batch=1).shape == (0, 6)
    assert cut([[10, 11, 12]], length=5, batch=1).tolist() == [[1, 10, 11, 12, 2]]


@pytest.mark.parametrize("length", [8, 13, 32])
def test_every_token_is_there_in_its_order_whatever_the_batches(length: int) -> None:
    noise = np.random.default_rng(0)
    documents = [
        noise.integers(10, 1000, size).tolist() for size in noise.integers(0, 60, size=300)
    ]
    rows = cut(documents, length, batch=1)
    assert np.array_equal(rows, cut(documents, length, batch=7))
    assert np.array_equal(rows, cut(documents, length, batch=300))
    assert (rows[:, 0] == CLS).all()
    assert (rows[:, -1] == SEP).all()
    assert (rows[:, 1] != SEP).all()
    assert (rows[:, 1:] != CLS).all()
    tokens = [token for document in documents for token in document]
    found = [token for token in rows.ravel().tolist() if token >= 10]
    assert found == tokens[: len(found)]
    assert len(tokens) - len(found) < length

"""Cuts a stream of tokenized documents into full rows: [CLS] documents joined by [SEP] [SEP]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class RowCutter:
    """Takes documents batch by batch; what does not fill a row waits for the next batch.

    A row's own [SEP] also separates: a document that begins a row has no further [SEP] before it.
    One that ends with the next to last token of a row is followed by two.
    """

    def __init__(self, length: int, start: int, separator: int, dtype: DTypeLike) -> None:
        """
        Args:
            length: T, of a row with its [CLS] and [SEP].
            start, separator: the ids of [CLS] and [SEP]; documents must not hold the second.
        """
        self.length = length
        self.start, self.separator = start, separator
        self.dtype = np.dtype(dtype)
        self.tokens = 0  # of all documents so far, without [CLS] and [SEP]
        self._waiting: list[NDArray[Any]] = []

    def cut(self, documents: list[NDArray[Any]]) -> NDArray[Any]:
        """The rows [n, T] that are full now."""
        separator = np.array([self.separator], dtype=self.dtype)
        for document in documents:
            if len(document):
                self._waiting += [document, separator]
                self.tokens += len(document)
        if not self._waiting:
            return np.empty((0, self.length), dtype=self.dtype)
        stream = np.concatenate(self._waiting)
        width, place = self.length - 2, 0
        pieces = []
        # The stream's last token is a separator, for which there may be no next document.
        while place + width < len(stream):
            if stream[place] == self.separator:
                place += 1
                continue
            pieces.append(stream[place : place + width])
            place += width
        self._waiting = [stream[place:].copy()]
        rows = np.empty((len(pieces), self.length), dtype=self.dtype)
        rows[:, 0], rows[:, -1] = self.start, self.separator
        if pieces:
            rows[:, 1:-1] = pieces
        return rows

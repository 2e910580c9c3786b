"""All ways to cut words into pieces, and how likely they are, for all words at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# The longest piece, in characters, as in SentencePiece.
LONGEST_PIECE = 16
# A piece that is expected less often goes.
_FEWEST = 0.5
_CODE_POINT_BITS = 21


class Lattice:
    """Distinct words, and the pieces that they can be cut into.

    Single characters are always pieces. Positions are those of the words' characters, one word
    after the other.

    Args:
        words: distinct, the longest first.
        counts: [W], of each word.
        most: pieces to start with, beside the single characters.
    """

    def __init__(self, words: list[str], counts: Floats, most: int) -> None:
        self._counts = counts
        self._lengths = np.array([len(word) for word in words], dtype=np.int64)
        self._starts = np.cumsum(self._lengths) - self._lengths
        # A word has a node before each of its characters, and one behind the last.
        self._nodes = self._starts + np.arange(len(words))
        self._text = "".join(words)
        frequency = self._number_repeated()
        weight = frequency * self._size
        order = np.lexsort((self._first, -weight))
        kept = self._size == 1
        kept[order[self._size[order] > 1][:most]] = True
        self._keep(kept, np.log(weight / weight[kept].sum()))

    def __len__(self) -> int:
        return len(self._size)

    def pieces(self) -> list[tuple[str, float]]:
        """Return the pieces with their log-probabilities."""
        ends = self._first + self._size
        bounds = zip(self._first.tolist(), ends.tolist(), strict=True)
        texts = [self._text[first:end] for first, end in bounds]
        return list(zip(texts, self._scores[:-1].tolist(), strict=True))

    def improve(self) -> None:
        """Take one step of expectation maximisation; pieces that are hardly expected go."""
        single = self._size == 1
        expected = self._expected()
        expected[single] = np.maximum(expected[single], _FEWEST)
        kept = single | (expected >= _FEWEST)
        expected = np.maximum(expected, _FEWEST)
        self._keep(kept, np.log(expected) - np.log(expected[kept].sum()))

    def prune(self, most: int) -> None:
        """Keep the `most` pieces whose loss would cost the text the most.

        The cost of a piece is its expected count times the drop in log-probability from the piece
        to its likeliest division into other pieces.
        """
        single = self._size == 1
        cost = np.where(single, np.inf, self._expected() * (self._scores[:-1] - self._divided()))
        kept = single.copy()
        kept[np.lexsort((self._first, -cost))[:most]] = True
        self._keep(kept, self._scores[:-1])

    def _number_repeated(self) -> Floats:
        """Give numbers to the characters and to what occurs twice; returns how often each does."""
        positions = len(self._text)
        points = np.frombuffer(self._text.encode("utf-32-le"), dtype=np.uint32).astype(np.int64)
        left = np.repeat(self._starts + self._lengths, self._lengths) - np.arange(positions)
        counts = np.repeat(self._counts, self._lengths)
        # [P, LONGEST_PIECE] numbers of the pieces that begin at each position, by length - 1.
        self._pieces = np.full((positions, LONGEST_PIECE), -1, dtype=np.int32)
        sizes, firsts, frequencies = [], [], []
        made = 0
        for length in range(1, LONGEST_PIECE + 1):
            at = np.flatnonzero(left >= length)
            if length == 1:
                keys = points
            else:
                # What repeats begins with what repeats.
                at = at[self._pieces[at, length - 2] >= 0]
                keys = self._pieces[at, length - 2].astype(np.int64) << _CODE_POINT_BITS
                keys |= points[at + length - 1]
            if not len(at):
                break
            _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
            frequency = np.bincount(inverse, weights=counts[at])
            repeated = (frequency >= 2) | (length == 1)
            numbers = np.where(repeated, made + np.cumsum(repeated) - 1, -1)
            self._pieces[at, length - 1] = numbers[inverse]
            sizes.append(np.full(repeated.sum(), length))
            firsts.append(at[first][repeated])
            frequencies.append(frequency[repeated])
            made += int(repeated.sum())
        self._size, self._first = np.concatenate(sizes), np.concatenate(firsts)
        return np.concatenate(frequencies)

    def _keep(self, kept: NDArray[np.bool_], scores: Floats) -> None:
        """Drop the other pieces. The last score, -inf, is that of the number -1, no piece."""
        numbers = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1).astype(np.int32)
        for column in range(LONGEST_PIECE):
            self._pieces[:, column] = numbers[self._pieces[:, column]]
        self._size, self._first = self._size[kept], self._first[kept]
        self._scores = np.append(scores[kept], -np.inf)

    def _expected(self) -> Floats:
        """[V], how often each piece is expected in the text."""
        ends = self._nodes + self._lengths
        forward = np.full(len(self._text) + len(self._nodes), -np.inf)
        forward[self._nodes] = 0.0
        longest = int(self._lengths[0])
        for end in range(1, longest + 1):
            for begin in range(max(0, end - LONGEST_PIECE), end):
                piece, first, last = self._edge(begin, end)
                forward[last] = np.logaddexp(forward[last], forward[first] + self._scores[piece])
        backward = np.full(len(forward), -np.inf)
        backward[ends] = 0.0
        expected = np.zeros(len(self._scores))
        whole = forward[ends]
        for begin in reversed(range(longest)):
            for end in range(begin + 1, min(longest, begin + LONGEST_PIECE) + 1):
                piece, first, last = self._edge(begin, end)
                onward = backward[last] + self._scores[piece]
                backward[first] = np.logaddexp(backward[first], onward)
                share = np.exp(forward[first] + onward - whole[: len(piece)])
                share *= self._counts[: len(piece)]
                expected += np.bincount(
                    piece % len(expected), weights=share, minlength=len(expected)
                )
        return expected[:-1]

    def _edge(self, begin: int, end: int) -> tuple[NDArray[np.int32], Ints, Ints]:
        """Return the pieces [W'] between two places of every word that is so long, and its nodes.

        These words come first.
        """
        words = int(np.searchsorted(-self._lengths, -end, side="right"))
        piece = self._pieces[self._starts[:words] + begin, end - begin - 1]
        return piece, self._nodes[:words] + begin, self._nodes[:words] + end

    def _divided(self) -> Floats:
        """[V], log-probability of the likeliest division of each piece into smaller ones."""
        divided = np.full(len(self._size), -np.inf)
        for length in range(2, LONGEST_PIECE + 1):
            members = np.flatnonzero(self._size == length)
            first = self._first[members]
            best = np.full((length + 1, len(members)), -np.inf)
            best[0] = 0.0
            for end in range(1, length + 1):
                for begin in range(1 if end == length else 0, end):
                    score = self._scores[self._pieces[first + begin, end - begin - 1]]
                    best[end] = np.maximum(best[end], best[begin] + score)
            divided[members] = best[length]
        return divided

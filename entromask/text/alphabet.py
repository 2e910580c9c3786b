"""Which characters a trained vocabulary holds: nearly all of the text, as far as they fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The share of a text's characters that its vocabulary covers at least, if they fit.
COVERAGE = 0.9999
_MOST_NAMED = 10
_POINTS = 0x110000
# What a character is to the pre-tokenizer. Only consecutive letters share a word.
_UNSEEN, _NOTHING, _SPACE, _APART, _LETTER = range(5)
# It composes with no mark, so that it shows what becomes of a character beside it.
_NEIGHBOUR = "q"


@dataclass(frozen=True)
class Alphabet:
    """The characters of a vocabulary.

    Attributes:
        characters: in code point order.
        inner: those of them that occur behind another character of a word.
        covered: share of the text's characters, spaces aside.
        missing: the most frequent other characters, with their counts.
    """

    characters: list[str]
    inner: list[str]
    covered: float
    missing: list[tuple[str, int]]


def choose_alphabet(counts: Mapping[str, int], inner: Mapping[str, int], room: int) -> Alphabet:
    """Return the most frequent characters: those that cover `COVERAGE`, or as many as fit.

    Rarer ones follow as long as characters take no more than half of the room.

    Args:
        counts: occurrences of each character.
        inner: occurrences behind another character of a word; such a character takes two types.
        room: number of types that characters may take.
    """
    total, covered, used = sum(counts.values()), 0, 0
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    chosen = []
    for character in ranked:
        used += 2 if inner.get(character) else 1
        if used > (room / 2 if covered >= COVERAGE * total else room):
            break
        chosen.append(character)
        covered += counts[character]
    missing = ranked[len(chosen) : len(chosen) + _MOST_NAMED]
    return Alphabet(
        characters=sorted(chosen),
        inner=sorted(character for character in chosen if inner.get(character)),
        covered=covered / total if total else 1.0,
        missing=[(character, counts[character]) for character in missing],
    )


class CharacterCounter:
    """Counts normalised characters, in all and behind another character of a word.

    Works on the raw code points with numpy, since normalising and splitting the whole text in
    Python takes as long as the training itself. Text is brought to NFC first; what else the
    normalizer does has to depend on single characters only.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._normalize: Callable[[str], str] = tokenizer.normalizer.normalize_str
        self._split = tokenizer.pre_tokenizer.pre_tokenize_str
        self._kinds = np.full(_POINTS, _UNSEEN, dtype=np.uint8)
        self._counts = np.zeros(_POINTS, dtype=np.int64)
        self._inner = np.zeros(_POINTS, dtype=np.int64)

    def add(self, texts: Iterable[str]) -> None:
        """Count the characters of texts; no word crosses from one to the next."""
        text = unicodedata.normalize("NFC", "\n".join(texts))
        points = np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)
        counts = np.bincount(points)
        for point in np.flatnonzero(counts).tolist():
            if self._kinds[point] == _UNSEEN:
                self._kinds[point] = self._kind(chr(point))
        self._counts[: len(counts)] += counts
        points = points[self._kinds[points] != _NOTHING]
        letters = self._kinds[points] == _LETTER
        self._add_inner(points[1:][letters[1:] & letters[:-1]])

    def counts(self) -> tuple[dict[str, int], dict[str, int]]:
        """Return counts by normalised character: in all, and behind another in a word."""
        counts: dict[str, int] = {}
        inner: dict[str, int] = {}
        for point in np.flatnonzero(self._counts).tolist():
            number, behind = int(self._counts[point]), int(self._inner[point])
            for place, character in enumerate(self._characters(chr(point))):
                counts[character] = counts.get(character, 0) + number
                # What a single character became several of stands in one word, if it is letters.
                inside = number if place and self._kinds[point] == _LETTER else behind
                if inside:
                    inner[character] = inner.get(character, 0) + inside
        return counts, inner

    def _add_inner(self, points: NDArray[np.uint32]) -> None:
        counts = np.bincount(points)
        self._inner[: len(counts)] += counts

    def _characters(self, character: str) -> str:
        return "".join(self._normalize(character).split())

    def _kind(self, character: str) -> int:
        if not self._characters(character):
            between = self._normalize(_NEIGHBOUR + character + _NEIGHBOUR)
            return _NOTHING if between == 2 * _NEIGHBOUR else _SPACE
        between = self._normalize(_NEIGHBOUR + character + _NEIGHBOUR)
        return _LETTER if len(self._split(between)) == 1 else _APART

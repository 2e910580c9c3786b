"""Which characters a trained vocabulary holds: nearly all of the text, as far as they fit."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
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
# The first words of Unicode's names for characters of scripts without spaces between words.
_WITHOUT_SPACES = (
    *("CJK ", "HIRAGANA ", "KATAKANA ", "HALFWIDTH KATAKANA ", "BOPOMOFO ", "YI "),
    *("THAI ", "LAO ", "KHMER ", "MYANMAR ", "TIBETAN ", "JAVANESE ", "BALINESE ", "TAI "),
)
# It composes with no mark, so that it shows what becomes of a character beside it.
_NEIGHBOUR = "q"


@dataclass(frozen=True)
class Alphabet:
    """The characters of a vocabulary.

    Attributes:
        characters: in code point order.
        inner: those of them that can stand behind another character of a word.
        covered: share of the text's characters, spaces aside.
        missing: the most frequent other characters, with their counts.
    """

    characters: list[str]
    inner: list[str]
    covered: float
    missing: list[tuple[str, int]]


def choose_alphabet(counts: Mapping[str, int], inner: Collection[str], room: int) -> Alphabet:
    """Return the most frequent characters: those that cover `COVERAGE`, or as many as fit.

    Rarer ones follow as long as characters take no more than half of the room.

    Args:
        counts: occurrences of each character.
        inner: those that can stand behind another character of a word, which take two types.
        room: number of types that characters may take.
    """
    total, covered, used = sum(counts.values()), 0, 0
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    chosen = []
    for character in ranked:
        used += 2 if character in inner else 1
        if used > (room / 2 if covered >= COVERAGE * total else room):
            break
        chosen.append(character)
        covered += counts[character]
    missing = ranked[len(chosen) : len(chosen) + _MOST_NAMED]
    return Alphabet(
        characters=sorted(chosen),
        inner=sorted(character for character in chosen if character in inner),
        covered=covered / total if total else 1.0,
        missing=[(character, counts[character]) for character in missing],
    )


def _writes_spaces(character: str) -> bool:
    """Return whether the script of a character writes spaces between words."""
    return not unicodedata.name(character, "").startswith(_WITHOUT_SPACES)


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

    def counts(self) -> tuple[dict[str, int], set[str]]:
        """Return the count of each normalised character, and which can stand behind another.

        That is a character that does so in the text, and every letter of a script that writes
        spaces between words: a text that is read later may have it inside a word.
        """
        counts: dict[str, int] = {}
        inner: set[str] = set()
        for point in np.flatnonzero(self._counts).tolist():
            letter = self._kinds[point] == _LETTER
            for place, character in enumerate(self._characters(chr(point))):
                counts[character] = counts.get(character, 0) + int(self._counts[point])
                # What a single character became several of stands in one word, if it is letters.
                if self._inner[point] or (letter and (place or _writes_spaces(character))):
                    inner.add(character)
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

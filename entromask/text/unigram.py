"""Trains a unigram vocabulary (arXiv:1804.10959), the same one each time.

The trainer of `tokenizers` adds up in the order of a randomly seeded hash map, so that its scores
differ from training to training. This one works on the distinct words of the text with numpy.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entromask.text.alphabet import Alphabet, choose_alphabet
from entromask.text.unigram_lattice import Lattice
from entromask.text.vocabulary import SPECIAL_TOKENS, Documents, controls_removed, training_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE = "▁"
# The most frequent words with so many characters in all decide; further ones change little.
_MOST_CHARACTERS = 2_000_000
# Longer words, as whole sentences of Thai, are cut.
_LONGEST_WORD = 64
# Candidates at the start for each type in the end; and the share that each round keeps.
_CANDIDATES = 12
_KEPT = 0.65
_DECIMALS = 6


def train_unigram(
    documents: Documents, vocab_size: int, lowercase: bool, strip_accents: bool
) -> tuple[Tokenizer, Alphabet]:
    """Train a unigram tokenizer with at most `vocab_size` types.

    Args:
        documents: returns the training documents.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    normalizer = _normalizer(lowercase, strip_accents)
    words = _words(documents, normalizer)
    characters: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    room = vocab_size - len(SPECIAL_TOKENS)
    # Every word begins with the mark of a space.
    spaces = characters.pop(_SPACE, 0)
    alphabet = choose_alphabet(characters, (), room - 1)
    pieces = _pieces(words, [_SPACE, *alphabet.characters], room) if spaces else []
    vocabulary = [(token, 0.0) for token in SPECIAL_TOKENS] + pieces
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL_TOKENS.index("[UNK]")))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(_SPACE, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(_SPACE, prepend_scheme="always")
    return tokenizer, alphabet


def _normalizer(lowercase: bool, strip_accents: bool) -> Any:
    from tokenizers import Regex, normalizers

    steps: list[Any] = [normalizers.NFC(), *controls_removed()]
    if strip_accents:
        steps += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()]
    if lowercase:
        steps += [normalizers.Lowercase()]
    steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    return normalizers.Sequence(steps)


def _words(documents: Documents, normalizer: Any) -> Counter[str]:
    """Count the distinct words, each with the mark of the space before it."""
    words: Counter[str] = Counter()
    for document in training_text(documents()):
        words.update(normalizer.normalize_str(document).split(" "))
    del words[""]
    return Counter({_SPACE + word: count for word, count in words.items()})


def _pieces(words: Counter[str], characters: list[str], room: int) -> list[tuple[str, float]]:
    """Return at most `room` pieces with their log-probabilities, the likeliest first."""
    parts, counts = _parts(words, set(characters))
    lattice = Lattice(parts, counts, max(_CANDIDATES * room, 10_000))
    while True:
        for _ in range(2):
            lattice.improve()
        if len(lattice) <= room:
            break
        lattice.prune(max(room, int(_KEPT * len(lattice))))
    pieces = [(piece, round(score, _DECIMALS)) for piece, score in lattice.pieces()]
    # Characters of rare words alone.
    lowest = min(score for _, score in pieces)
    pieces += [(one, lowest) for one in sorted(set(characters) - {piece for piece, _ in pieces})]
    singles = [piece for piece in pieces if len(piece[0]) == 1]
    others = sorted((p for p in pieces if len(p[0]) > 1), key=lambda piece: (-piece[1], piece[0]))
    kept = singles + others[: max(0, room - len(singles))]
    return sorted(kept, key=lambda piece: (-piece[1], piece[0]))


def _parts(words: Counter[str], characters: set[str]) -> tuple[list[str], NDArray[np.float64]]:
    """Return the most frequent words, cut at unknown characters and at the longest length."""
    parts: Counter[str] = Counter()
    room = _MOST_CHARACTERS
    for word, count in sorted(words.items(), key=lambda item: (-item[1], item[0])):
        known = "".join(one if one in characters else "\n" for one in word)
        for run in known.split("\n"):
            for start in range(0, len(run), _LONGEST_WORD):
                parts[run[start : start + _LONGEST_WORD]] += count
        room -= len(word)
        if room < 0:
            break
    # The longest first, as the lattice wants them.
    ordered = sorted(parts, key=lambda part: (-len(part), part))
    return ordered, np.array([parts[part] for part in ordered], dtype=np.float64)

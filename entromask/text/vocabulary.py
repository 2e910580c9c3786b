"""What all trained vocabularies have in common: special tokens, amount of text, tidying."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

# They get the first ids, in this order.
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# More text hardly changes a vocabulary: the training stops after so many characters.
LONGEST_TRAINING = 200_000_000
_BATCH = 256
# Zero-width spaces part words, in Thai and Khmer. Control characters, soft hyphens, word joiners
# and byte order marks say nothing; line breaks, tabs and joiners of letters and emoji stay.
_BREAKS = "\u200b"
_CONTROLS = r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u2060\ufeff]"

Documents = Callable[[], Iterable[str]]


def training_text(documents: Iterable[str]) -> Iterator[str]:
    """Yield the documents that a vocabulary is trained on."""
    characters = 0
    for document in documents:
        yield document
        characters += len(document)
        if characters >= LONGEST_TRAINING:
            return


def batches(documents: Iterable[str]) -> Iterator[list[str]]:
    """Yield the documents that a vocabulary is trained on, many at once."""
    text = training_text(documents)
    while batch := list(itertools.islice(text, _BATCH)):
        yield batch


def controls_removed() -> list[Any]:
    """Return normalizers that remove control characters."""
    from tokenizers import Regex, normalizers

    return [normalizers.Replace(_BREAKS, " "), normalizers.Replace(Regex(_CONTROLS), "")]

"""Two small tasks in GLUE's format, made from the builtin documentation: no file, no network.

They show how an evaluation works; they are not GLUE and are never counted as GLUE.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from entromask.errors import InputError
from entromask.glue.data import Columns
from entromask.text.builtin import builtin_documents

# Rows of a split; half of them are of each class.
SIZES = {"train": 1600, "validation": 500}
_VALIDATION_SHARE = 0.3
# Words of a sentence: long enough to have an order, short enough to be quick.
_WORDS = range(8, 25)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"^[\"'(]*[A-Za-z]+(?:['’-][A-Za-z]+)*[.,;:!?\"')]*$")


@dataclass(frozen=True)
class _Sentence:
    """A sentence with its document and the sentence before it in its paragraph, if that is one."""

    text: str
    document: int
    before: str | None


def demo_splits(name: str) -> dict[str, Columns]:
    """The splits `train` and `validation` of `demo-order` or `demo-pair`, the same every time.

    Both are balanced, no sentence occurs in both, and their sentences come from different
    documents.

    Raises:
        InputError: this Python ships too little documentation.
    """
    return {
        split: _MAKERS[name](_sentences(split), size, random.Random(f"{name} {split}"))
        for split, size in SIZES.items()
    }


def _order(sentences: Sequence[_Sentence], size: int, chance: random.Random) -> Columns:
    """Label 1: the inner words of the sentence have been shuffled."""
    texts = [sentence.text for sentence in sentences]
    _need(len(texts), size, "demo-order")
    rows = []
    for number, text in enumerate(chance.sample(texts, size)):
        changed = number % 2
        rows.append((_shuffled(text, chance) if changed else text, changed))
    chance.shuffle(rows)
    return {"sentence": [text for text, _ in rows], "label": [label for _, label in rows]}


def _pair(sentences: Sequence[_Sentence], size: int, chance: random.Random) -> Columns:
    """Label 1: the second sentence follows the first; label 0: it is of another document.

    Each first sentence stands once with either label, so that it tells nothing on its own.
    """
    pairs = [sentence for sentence in sentences if sentence.before is not None]
    openings = [sentence for sentence in sentences if sentence.before is None]
    _need(min(2 * len(pairs), len(openings)), size, "demo-pair")
    rows: list[tuple[str, str, int]] = []
    for pair in chance.sample(pairs, size // 2):
        other = pair
        while other.document == pair.document:
            other = chance.choice(openings)
        rows += [(str(pair.before), pair.text, 1), (str(pair.before), other.text, 0)]
    chance.shuffle(rows)
    first, second, labels = zip(*rows, strict=True)
    return {"sentence1": list(first), "sentence2": list(second), "label": list(labels)}


_MAKERS: dict[str, Callable[[Sequence[_Sentence], int, random.Random], Columns]] = {
    "demo-order": _order,
    "demo-pair": _pair,
}


def _shuffled(text: str, chance: random.Random) -> str:
    """The text with its inner words in random order; the first and the last word stay."""
    first, *inner, last = text.split()
    order = inner
    while order == inner:
        order = chance.sample(inner, len(inner))
    return " ".join([first, *order, last])


@cache
def _sentences(split: str) -> tuple[_Sentence, ...]:
    """Every usable sentence of the split's documents, each text once in the whole corpus."""
    seen: set[str] = set()
    found = []
    for number, document in enumerate(builtin_documents()):
        mine = _is_validation(document) == (split == "validation")
        for paragraph in document.split("\n"):
            before = None
            for text in _SENTENCE_END.split(paragraph):
                usable = _is_sentence(text) and text not in seen
                if usable and mine:
                    found.append(_Sentence(text, number, before))
                before = text if usable else None
                seen.add(text)
    return tuple(found)


def _is_sentence(text: str) -> bool:
    words = text.split()
    plain = sum(bool(_WORD.match(word)) for word in words)
    return (
        len(words) in _WORDS and text[0].isupper() and text[-1] == "." and plain >= len(words) - 2
    )


def _is_validation(document: str) -> bool:
    # By content, so that a document never changes sides because another one appeared.
    first = hashlib.sha256(document.encode()).digest()[0]
    return first < 256 * _VALIDATION_SHARE


def _need(available: int, size: int, name: str) -> None:
    if available < size:
        raise InputError(
            f"task {name}: this Python's documentation gives only {available} of {size} rows",
            "leave the demo tasks out of evaluation.tasks",
        )

"""What a document is: bounded in length, and for ever in one split."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Split = Literal["train", "validation"]
SPLITS: tuple[Split, Split] = ("train", "validation")

# Characters: a longer document becomes several, so that encoding one takes little memory.
LONGEST = 64 * 1024
# One document in so many is held out for validation where a corpus brings none of its own.
HELD_OUT_OF = 20


class Text(NamedTuple):
    """A document, and how much of its source had been read when it was complete."""

    text: str
    position: int


def held_out(number: int) -> bool:
    """Whether document `number` (from 0) is validation text: one of each block of HELD_OUT_OF.

    A stateless hash, so that the answer never depends on how many documents follow. In the first
    block it is the second document: two documents are enough for one in each split.
    """
    block, place = divmod(number, HELD_OUT_OF)
    if block == 0:
        return place == 1
    digest = hashlib.sha256(block.to_bytes(8, "big")).digest()
    return place == int.from_bytes(digest[:8], "big") % HELD_OUT_OF


def bounded(text: str, longest: int = LONGEST) -> Iterator[str]:
    """`text` in parts of at most `longest` characters: cut at line ends, else at white space.

    Parts without text are left out, and so is the white space at the cuts.
    """
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > longest:
            limit = start + longest
            line_end = text.rfind("\n", start + 1, limit + 1)
            space = text.rfind(" ", start + 1, limit + 1) if line_end < 0 else line_end
            end = space if space > 0 else limit
        part = text[start:end].strip()
        if part:
            yield part
        start = end


def divided(documents: Iterable[Text]) -> Iterator[Text]:
    """The same documents, cut into smaller ones where there are too few to hold one out.

    That is where the second of fewer than HELD_OUT_OF documents, which `held_out` will pick, is
    missing, or is not between 2 and 50 % of the text.
    """
    documents = iter(documents)
    first = list(itertools.islice(documents, HELD_OUT_OF))
    if len(first) < HELD_OUT_OF:
        total = sum(len(text) for text, _ in first)
        second = len(first[1].text) if len(first) > 1 else 0
        if not 0.02 * total <= second <= 0.5 * total:
            longest = max(1, -(-total // HELD_OUT_OF))
            first = [Text(part, place) for text, place in first for part in bounded(text, longest)]
    yield from first
    yield from documents

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
    """A document, or a part of a long one.

    Attributes:
        position: how much of the source had been read when the document was complete.
        begins: whether it is the first part of its document.
        replaced: characters of the document that are U+FFFD because they were not Unicode; told
            with its first part, as are all notes on a document.
        long_field: whether it is a field of a .csv file over suspiciously many lines.
        origin: where the document begins, as "FILE, line 3"; filled where there is a note.
    """

    text: str
    position: int
    begins: bool = True
    replaced: int = 0
    long_field: bool = False
    origin: str = ""


def parts_of(document: Text, longest: int) -> Iterator[Text]:
    """A document in parts of at most `longest` characters; its notes stay with the first part."""
    first = document.begins
    for part in bounded(document.text, longest):
        if first:
            yield document._replace(text=part)
        else:
            yield Text(part, document.position, begins=False)
        first = False


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
        total = sum(len(document.text) for document in first)
        second = len(first[1].text) if len(first) > 1 else 0
        if not 0.02 * total <= second <= 0.5 * total:
            longest = max(1, -(-total // HELD_OUT_OF))
            first = [
                part._replace(begins=True)
                for document in first
                for part in parts_of(document, longest)
            ]
    yield from first
    yield from documents

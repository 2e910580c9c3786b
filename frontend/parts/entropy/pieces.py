"""A text cut at its tokens, as it runs: what each token shows, and what stands between them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from frontend.parts.entropy.previews import Token

# In place of a token's index: the text between two tokens; a [CLS] or [SEP].
BETWEEN, FRAME = -1, -2

_JOINER = "\u200d"


def pieces(text: str, tokens: Sequence[Token]) -> Iterator[tuple[int, str]]:
    """(index of the token, its characters), with what stands between tokens as BETWEEN.

    All pieces together are the text. A character that is drawn as one with those before it (the
    parts of an emoji, an accent) goes to the token that its first part belongs to; a token that
    holds nothing else, such as a further byte of a character, shows no characters.
    """
    cursor = 0
    for index, token in enumerate(tokens):
        if token.frame:
            yield FRAME, token.token
            continue
        if token.start > cursor:
            yield BETWEEN, text[cursor : token.start]
            cursor = token.start
        end = token.end
        while cursor < end < len(text) and joins(text, end):
            end += 1
        piece = text[cursor:end]
        # The space before a word is part of the token in some vocabularies, not of the word.
        word = piece.lstrip() or piece
        if len(word) < len(piece):
            yield BETWEEN, piece[: -len(word)]
        yield index, word
        cursor = max(cursor, end)
    if cursor < len(text):
        yield BETWEEN, text[cursor:]


def joins(text: str, place: int) -> bool:
    """Whether the code point at `place` is drawn as one with the one before it.

    The common part of Unicode's rules for grapheme clusters (UAX 29): marks, joined and tinted
    emoji, flags, Korean jamo, and the two halves of a line's end.
    """
    sign, before = text[place], text[place - 1]
    if unicodedata.category(sign) in ("Mn", "Me", "Mc") or _JOINER in (sign, before):
        return True
    if "\U0001f3fb" <= sign <= "\U0001f3ff" or "\U000e0020" <= sign <= "\U000e007f":
        return True  # a skin tone, or a flag's tag
    if "\u1160" <= sign <= "\u11ff":
        return True
    if _regional(sign):  # two letters make a flag
        start = place
        while start and _regional(text[start - 1]):
            start -= 1
        return (place - start) % 2 == 1
    return (before, sign) == ("\r", "\n")


def _regional(sign: str) -> bool:
    return "\U0001f1e6" <= sign <= "\U0001f1ff"


def shown(text: str, token: Token) -> str:
    """A token in a table: its characters, or the vocabulary's spelling where it has none whole."""
    characters = text[token.start : token.end]
    return characters if characters.strip() else token.token

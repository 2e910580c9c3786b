"""Which characters of a text are hidden: one selection for models with different tokenizers.

A selection is a sorted list of [start, end) in code points. A token is hidden where it shares a
character with it, so that all models are asked about the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from frontend.parts.entropy.previews import Token

Span = tuple[int, int]


def clean(given: Any, length: int) -> list[Span]:
    """The valid spans of what a browser sent, sorted and merged, within a text of `length`."""
    if not isinstance(given, list | tuple):
        return []
    merged: list[Span] = []
    for start, end in sorted(span for span in map(_span, given) if span is not None):
        start, end = max(0, start), min(end, length)
        if start >= end:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _span(given: Any) -> Span | None:
    try:
        start, end = given
        return int(start), int(end)
    except (TypeError, ValueError):
        return None


def hidden(tokens: Iterable[Token], spans: Sequence[Span]) -> list[int]:
    """The positions of the tokens that share a character with the spans."""
    return [
        token.position
        for token in tokens
        if not token.frame and any(a < token.end and b > token.start for a, b in spans)
    ]

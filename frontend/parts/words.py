"""Numbers, times and states in the words that the pages use."""

from __future__ import annotations

import time

from entromask.terminal import duration

__all__ = ["ago", "amount", "duration", "percent", "score", "size"]

_MINUS = "−"
_NONE = "–"


def amount(number: float | None, digits: int = 3) -> str:
    """`1234567` is `1.23 M`."""
    if number is None:
        return _NONE
    for unit, sign in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= unit:
            return f"{number / unit:.{digits}g} {sign}"
    return f"{number:.{digits}g}"


def size(bytes_: float | None) -> str:
    """`1500000` is `1.5 MB`."""
    if bytes_ is None:
        return _NONE
    number, _, sign = amount(bytes_).partition(" ")
    return f"{number} {sign}B"


def score(value: float | None) -> str:
    """A score in the field's usual form, x 100: `0.561` is `56.1`."""
    return _NONE if value is None else f"{100 * value:.1f}".replace("-", _MINUS)


def percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.0f} %"


def ago(moment: float | None, now: float | None = None) -> str:
    """How long ago a Unix time in seconds was: `3 min ago`."""
    if moment is None:
        return _NONE
    seconds = max(0.0, (time.time() if now is None else now) - moment)
    for unit, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:.0f} {word} ago"
    return "just now" if seconds < 10 else f"{seconds:.0f} s ago"

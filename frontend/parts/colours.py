"""Colours: of lines, of states, and of a quantity's size; all told apart by colour-blind people."""

from __future__ import annotations

# Okabe and Ito, Color Universal Design (2008), without its black and with a grey.
CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a")
# A line is told by its dashes as well.
DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (4, 4), (10, 4), (3, 5))

# Five points of cividis (Nuñez, Anderton, Renslow, 2018, doi:10.1371/journal.pone.0199239), which
# grows in lightness and looks the same with and without red-green blindness.
_CIVIDIS = ("#00224e", "#434e6c", "#7d7c78", "#bcae6c", "#fee838")
_DARK, _LIGHT = "#000000", "#ffffff"
_NEUTRAL = "#eceff2"


def heat(share: float) -> tuple[str, str]:
    """(background, text) of a cell whose value is `share`, 0 to 1, of the scale.

    The text is black or white, whichever stands out more: at least 4.58:1 on any background.
    """
    place = min(1.0, max(0.0, share)) * (len(_CIVIDIS) - 1)
    left = min(int(place), len(_CIVIDIS) - 2)
    background = _mix(_CIVIDIS[left], _CIVIDIS[left + 1], place - left)
    text = max((_DARK, _LIGHT), key=lambda colour: contrast(colour, background))
    return background, text


def change(share: float) -> tuple[str, str]:
    """(background, text) of a cell whose value fell (-1) or grew (1) by a share of the scale.

    Blue for less, orange for more, the two of Okabe and Ito that are told apart best; the text
    stands out as in `heat`.
    """
    end = CATEGORIES[0] if share < 0 else CATEGORIES[1]
    background = _mix(_NEUTRAL, end, min(1.0, abs(share)))
    text = max((_DARK, _LIGHT), key=lambda colour: contrast(colour, background))
    return background, text


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def scale() -> str:
    """The heat scale as a CSS gradient from left to right."""
    return f"linear-gradient(to right, {', '.join(_CIVIDIS)})"


def change_scale() -> str:
    """The scale of changes as a CSS gradient from left to right."""
    return f"linear-gradient(to right, {CATEGORIES[0]}, {_NEUTRAL}, {CATEGORIES[1]})"


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(int(colour[start : start + 2], 16) for start in (1, 3, 5))


def _mix(one: str, other: str, share: float) -> str:
    parts = zip(_rgb(one), _rgb(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def _luminance(colour: str) -> float:
    linear = [
        part / 12.92 if (part := value / 255) <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for value in _rgb(colour)
    ]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

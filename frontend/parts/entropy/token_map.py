"""The token heat map: a text in colours of how unsure models are at each of its tokens.

One component shows all models, so that changing the quantity or pointing at a token asks nothing
of the server. What a click hides is its state: spans of characters, the same for all models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import streamlit as st

from frontend.parts.colours import change, change_scale, heat, scale
from frontend.parts.component import component
from frontend.parts.entropy.pieces import pieces
from frontend.parts.entropy.previews import Guess, Preview, Token
from frontend.parts.entropy.spans import Span, clean

KEY = "token_map"
# So many shades that no eye tells two neighbours apart.
LEVELS = 256

_FILES = ("running_text.css", "token_map.css", "running_text.js", "token_detail.js", "token_map.js")
_component = component("token_map", *map(Path(__file__).with_name, _FILES))


@dataclass(frozen=True)
class Quantity:
    """What the colours can show; `name` is the field of a token."""

    name: str
    label: str
    meaning: str


QUANTITIES = (
    Quantity(
        "entropy",
        "Entropy",
        "How unsure the model is at each token while it sees the whole text, that token included.",
    ),
    Quantity(
        "entropy_masked",
        "Masked entropy",
        "How unsure the model is at each token when that one token is hidden from it.",
    ),
    Quantity(
        "surprisal",
        "Surprisal",
        "How unexpected the token that stands there is, −ln p, when it is hidden from the model.",
    ),
    Quantity(
        "change",
        "Change",
        "Entropy with your tokens masked, minus entropy with nothing masked: orange is less sure "
        "than before, blue is surer.",
    ),
)


@dataclass(frozen=True)
class Pane:
    """A model's part of the map.

    Args:
        plain: with nothing masked.
        shown: with the selection masked; the same as `plain` where there is none.
    """

    id: str
    label: str
    plain: Preview
    shown: Preview


def selection(text: str) -> list[Span]:
    """What is hidden of this text by clicks; a selection of another text does not count."""
    state = st.session_state.get(KEY) or {}
    given = state.get("masked") or {}
    return clean(given.get("spans"), len(text)) if given.get("text") == _name(text) else []


def token_map(text: str, panes: Sequence[Pane], spans: Sequence[Span]) -> None:
    """Shows the map, with the spans hidden that the panes were asked for."""
    _component(
        key=KEY,
        data={
            "text": _name(text),
            "spans": [list(span) for span in spans],
            "panes": [_pane(text, pane) for pane in panes],
            "quantities": [vars(quantity) for quantity in QUANTITIES],
            "heat": [list(heat(level / (LEVELS - 1))) for level in range(LEVELS)],
            "change": [list(change(2 * level / (LEVELS - 1) - 1)) for level in range(LEVELS)],
            "gradients": {"heat": scale(), "change": change_scale()},
        },
        default={"masked": None},
        on_masked_change=_nothing,
    )


def _nothing() -> None:
    """A state value wants a callback; the rerun itself is all that is asked."""


def _name(text: str) -> str:
    """A short name of a text, by which a browser says what its selection belongs to."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _pane(text: str, pane: Pane) -> dict[str, Any]:
    tokens = pane.shown.tokens
    words: dict[str, int] = {}
    changed = pane.shown is not pane.plain
    return {
        "id": pane.id,
        "label": pane.label,
        "max": pane.plain.max_entropy,
        "pieces": [list(piece) for piece in pieces(text, tokens)],
        "position": [token.position for token in tokens],
        "start": [token.start for token in tokens],
        "end": [token.end for token in tokens],
        "frame": [int(token.frame) for token in tokens],
        "unknown": [int(token.special and not token.frame) for token in tokens],
        "token": [words.setdefault(token.token, len(words)) for token in tokens],
        "entropy": _rounded(tokens, "entropy"),
        "entropy_masked": _rounded(tokens, "entropy_masked"),
        "surprisal": _rounded(tokens, "surprisal"),
        "before": _rounded(pane.plain.tokens, "entropy") if changed else None,
        "top": [_guesses(token.top, words) for token in tokens],
        "top_masked": [_guesses(token.top_masked, words) for token in tokens],
        "words": list(words),
        "warnings": list(pane.plain.warnings),
    }


def _rounded(tokens: Sequence[Token], field: str) -> list[float | None]:
    values: list[float | None] = [getattr(token, field) for token in tokens]
    return [None if value is None else round(value, 4) for value in values]


def _guesses(guesses: Sequence[Guess], words: dict[str, int]) -> list[float]:
    """Flat, as numbers: a long text has tens of thousands of them."""
    flat: list[float] = []
    for word, probability in guesses:
        flat += [words.setdefault(word, len(words)), float(f"{probability:.4g}")]
    return flat

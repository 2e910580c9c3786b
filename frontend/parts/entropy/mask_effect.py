"""What hiding tokens does: to the prediction at them, and to how sure the model is elsewhere."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import streamlit as st

from frontend.parts.entropy.pieces import shown
from frontend.parts.entropy.previews import Guess, Preview, Token
from frontend.parts.entropy.token_map import Pane
from frontend.parts.tables import Cell, table

# Rows of each table, and tables beside each other.
MOST = 8
_ABREAST = 2
# Smaller ones are not told apart in two digits.
_SMALLEST = 0.005
_MINUS = "−"


@dataclass(frozen=True)
class Change:
    """A token's entropy with nothing masked and with the selection masked, in nats."""

    token: Token
    before: float
    after: float

    @property
    def change(self) -> float:
        return self.after - self.before


def changes(plain: Preview, masked: Preview) -> list[Change]:
    """The tokens that stay visible, by how much their entropy changed, most first."""
    pairs = zip(plain.tokens, masked.tokens, strict=True)
    found = [
        Change(after, before.entropy, after.entropy)
        for before, after in pairs
        if before.entropy is not None and after.entropy is not None and not after.masked
    ]
    return sorted(found, key=lambda one: -abs(one.change))


def rank(token: Token) -> str:
    """Where the token that stands here comes among the predictions with it masked."""
    names = [name for name, _ in token.top_masked]
    if token.token in names:
        return str(names.index(token.token) + 1)
    return f"> {len(names)}"


def mask_effect(text: str, panes: Sequence[Pane]) -> None:
    """Two tables a model: the masked tokens, and the others whose entropy changed most."""
    st.subheader("What the masks do", anchor=False)
    width = min(len(panes), _ABREAST)
    for start in range(0, len(panes), width):
        for column, pane in zip(st.columns(width, gap="medium"), panes[start:], strict=False):
            with column:
                _masked(text, pane)
                _others(text, pane)


def named(text: str, preview: Preview, tokens: Iterable[Token]) -> list[str]:
    """The tokens as they stand in the text, by their own spelling too where they share a place."""
    places = Counter((token.start, token.end) for token in preview.tokens)
    return [
        f"{shown(text, token)} {token.token}"
        if places[token.start, token.end] > 1
        else shown(text, token)
        for token in tokens
    ]


def _masked(text: str, pane: Pane) -> None:
    hidden = [token for token in pane.shown.tokens if token.masked]
    first = hidden[:MOST]
    rows: list[Sequence[str | Cell]] = [
        (
            Cell(name, strong=True),
            "-" if token.surprisal is None else probability(math.exp(-token.surprisal)),
            rank(token),
            Cell(_predictions(token.top_masked), wraps=True),
        )
        for name, token in zip(named(text, pane.shown, first), first, strict=True)
    ]
    more = f" (the first {MOST} of {len(hidden):,})" if len(hidden) > MOST else ""
    table(
        ("Masked token", "Its p", "Its rank", "Predicted there"),
        rows,
        numbers=(1, 2),
        caption=f"{pane.label}: prediction at the masked tokens{more}",
    )


def _predictions(guesses: Sequence[Guess]) -> str:
    # Isolated: a word from right to left does not carry its number along.
    return " · ".join(f"\u2068{name}\u2069 {probability(share)}" for name, share in guesses)


def _others(text: str, pane: Pane) -> None:
    found = changes(pane.plain, pane.shown)
    largest = [one for one in found if abs(one.change) >= _SMALLEST][:MOST]
    if not largest:
        st.caption("The entropy at the other tokens does not change by as much as 0.01 nats.")
        return
    names = named(text, pane.shown, [one.token for one in largest])
    rows = [
        (
            name,
            f"{one.token.position:,}",
            f"{one.before:.2f}",
            f"{one.after:.2f}",
            signed(one.change),
        )
        for name, one in zip(names, largest, strict=True)
    ]
    table(
        ("Token", "Position", "Before", "After", "Change"),
        rows,
        numbers=(1, 2, 3, 4),
        caption=f"{pane.label}: largest changes of entropy at the other tokens, in nats",
    )


def signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", _MINUS)


def probability(share: float) -> str:
    if share >= 0.0005:
        return f"{share:.3f}"
    return f"{float(f'{share:.1g}'):.6f}".rstrip("0") if share >= 1e-6 else "< 0.000001"

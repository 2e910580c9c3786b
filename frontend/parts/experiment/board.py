"""A table of states that moves in place: each a sign and a word, with a way to what it is of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from frontend.parts.component import component
from frontend.routes import go, url

_HERE = Path(__file__).parent
_FILES = ("../status.css", "board.css", "board.js")
_component = component("board", *map(_HERE.joinpath, _FILES))


@dataclass(frozen=True)
class Item:
    """A cell of the table.

    Args:
        below: a second, fainter line.
        status: whose sign stands before the text.
        title: what a pointer that rests on it shows.
        page, id: the page that the text leads to.
        fraction: how much is done, 0 to 1.
    """

    text: str
    below: str | None = None
    status: str | None = None
    title: str | None = None
    page: str | None = None
    id: str | None = None
    fraction: float | None = None


def board(
    label: str, head: Sequence[str], rows: Sequence[Sequence[Item]], key: str, numbers: int = 0
) -> None:
    """Shows the table; what is clicked in it is opened.

    Args:
        label: what it is, for those who cannot see it.
        rows: the first item of a row is its title.
        numbers: how many of the last columns are aligned to the right.
    """
    given = _component(
        key=key,
        data={
            "label": label,
            "head": list(head),
            "numbers": numbers,
            "rows": [[_data(item) for item in row] for row in rows],
        },
        on_opened_change=_nothing,
    )
    if given.opened:
        go(str(given.opened["page"]), id=str(given.opened["id"]))


def _nothing() -> None:
    """A trigger wants a callback; the rerun itself is all that is asked."""


def _data(item: Item) -> dict[str, object]:
    data = {key: value for key, value in asdict(item).items() if value is not None}
    if item.page and item.id:
        data["href"] = url(item.page, id=item.id)
    return data

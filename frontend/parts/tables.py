"""Tables of words and numbers: aligned, escaped, scrolling inside themselves on a narrow screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st


@dataclass(frozen=True)
class Cell:
    """A cell that is more than its text.

    Args:
        href: where it leads; a page of the dashboard.
        title: what a pointer that rests on it shows.
        wraps: long words of several lines.
        below: a second, fainter line.
    """

    text: str
    strong: bool = False
    href: str | None = None
    title: str | None = None
    section: bool = False  # the title of the rows below, over the whole width
    wraps: bool = False
    below: str | None = None


def table(
    head: Sequence[str | Cell],
    rows: Sequence[Sequence[str | Cell]],
    *,
    numbers: Sequence[int] = (),
    caption: str | None = None,
    wide: bool = False,
) -> None:
    """Shows a table.

    Args:
        rows: a row of one `Cell` with `section` is a heading inside the table.
        numbers: the columns that are aligned to the right.
        wide: for many columns: heads wrap, and the first column stays in sight.
    """
    right = set(numbers)
    kind = "em-table wide" if wide else "em-table"
    lines = [f"<div class='{kind}' tabindex='0'><table>"]
    if caption:
        lines.append(f"<caption>{escape(caption)}</caption>")
    if any(head):
        cells = "".join(
            f"<th scope='col'{_side(column in right)}>{_inner(word)}</th>"
            for column, word in enumerate(head)
        )
        lines.append(f"<thead><tr>{cells}</tr></thead>")
    lines.append("<tbody>")
    lines += [_row(row, right, len(head)) for row in rows]
    lines.append("</tbody></table></div>")
    st.html("".join(lines))


def _row(row: Sequence[str | Cell], right: set[int], width: int) -> str:
    first = row[0]
    if isinstance(first, Cell) and first.section:
        side = f"class='section' scope='colgroup' colspan='{width}'"
        return f"<tr><th {side}>{escape(first.text)}</th></tr>"
    return f"<tr>{''.join(_cell(cell, column in right) for column, cell in enumerate(row))}</tr>"


def _inner(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return escape(cell)
    text = escape(cell.text)
    if cell.strong:
        text = f"<strong>{text}</strong>"
    if cell.href:
        text = f"<a href='{escape(cell.href)}' target='_self'>{text}</a>"
    if cell.below:
        text += f"<div class='below'>{escape(cell.below)}</div>"
    return text


def _cell(cell: str | Cell, right: bool) -> str:
    if isinstance(cell, str):
        return f"<td{_side(right)}>{escape(cell)}</td>"
    title = f" title='{escape(cell.title)}'" if cell.title else ""
    side = " class='wraps'" if cell.wraps else _side(right)
    return f"<td{side}{title}>{_inner(cell)}</td>"


def _side(right: bool) -> str:
    return " class='number'" if right else ""

"""What a report is made of, whatever it is written as: sections of paragraphs, tables, charts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cell:
    """A cell of a table."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Table:
    """A table; its first `left` columns are words, the others numbers.

    `rules` are the rows, by position, that a line is drawn above.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    left: int = 1
    rules: tuple[int, ...] = ()


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Bullets:
    items: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    """A chart as a Vega-Lite specification; `alt` is for those who cannot see it."""

    title: str
    alt: str
    spec: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Figures:
    """Charts beside each other; a form without pictures leaves them out, caption and all."""

    caption: str
    figures: tuple[Figure, ...]


Block = Paragraph | Bullets | Table | Figures


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report; `lead` are the lines under its title."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]

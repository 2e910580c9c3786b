"""A report as Markdown that reads in a terminal and on GitHub; its charts are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from unicodedata import combining, east_asian_width

from entromask.analysis.report.document import Block, Bullets, Document, Figures, Paragraph, Table

# Where they mean something: a tag, an entity, emphasis that is not inside a word.
_SPECIAL = re.compile(
    r"[\\`*\[\]|~$]|<(?=[A-Za-z/!?])|&(?=[#A-Za-z])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
)
# At the beginning of a line: a heading, a quotation, an item of a list.
_AT_START = re.compile(r"^(?:([#>+\-=])|(\d{1,9})([.)]))")


def to_markdown(document: Document) -> str:
    """The report, ending in a newline."""
    parts = [f"# {escape(document.title)}", *map(escape_line, document.lead)]
    for section in document.sections:
        parts.append(f"## {section.title}")
        parts += [text for block in section.blocks if (text := _block(block))]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Text that Markdown shows as it is, within a line."""
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))


def escape_line(text: str) -> str:
    """The same where the text begins a line."""
    return _AT_START.sub(
        lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}", escape(text)
    )


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return escape_line(block.text)
    if isinstance(block, Bullets):
        return "\n".join(f"- {escape_line(item)}" for item in block.items)
    if isinstance(block, Figures):
        return ""
    return _table(block)


def _table(table: Table) -> str:
    rows = [[escape(head) for head in table.head]]
    for cells in table.rows:
        texts = [(escape(cell.text), cell.bold) for cell in cells]
        rows.append([f"**{text}**" if bold else text for text, bold in texts])
    widths = [max(3, *(_width(row[i]) for row in rows)) for i in range(len(table.head))]
    rule = [
        "-" * width if i < table.left else "-" * (width - 1) + ":" for i, width in enumerate(widths)
    ]
    lines = [_line(rows[0], widths, table.left), f"| {' | '.join(rule)} |"]
    return "\n".join([*lines, *(_line(row, widths, table.left) for row in rows[1:])])


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = []
    for i, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - _width(cell))
        padded.append(cell + space if i < left else space + cell)
    return f"| {' | '.join(padded)} |"


def _width(text: str) -> int:
    """In a terminal's columns."""
    return sum(
        0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in text
    )

"""A comparison as text, Markdown, CSV or LaTeX."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Literal

from entromask.analysis.compare import compare
from entromask.analysis.render_latex import to_latex
from entromask.analysis.runs import Run
from entromask.analysis.table import Comparison, Row
from entromask.analysis.wording import (
    FLOORS,
    TITLES,
    foot,
    has_best,
    has_floors,
    row_label,
    show_floors,
    show_row,
)

Format = Literal["text", "md", "csv", "latex"]

_CSV_HEAD = (
    *("run", "folder", "group_hash", "seed", "section", "quantity", "value", "sd", "unit"),
    *("examples", "majority_floor", "untrained_floor", "comparable"),
)
_LABEL_WIDTH = 20
_FLOOR_WIDTH = 5
_HEAD_WIDTH = 11


def render(comparison: Comparison, style: Format = "text", width: int = 100) -> str:
    """The comparison in one of the formats, ending in a newline."""
    if style == "csv":
        return to_csv([run for column in comparison.columns for run in column.runs])
    if style == "latex":
        return to_latex(comparison)
    return to_markdown(comparison) if style == "md" else to_text(comparison, width)


def to_text(comparison: Comparison, width: int = 100) -> str:
    """Aligned plain text of at most `width` characters: what does not fit goes into a second block.

    A star marks the best of a row that ranks.
    """
    table = [_starred(comparison, row) for row in comparison.rows]
    floors = has_floors(comparison)
    heads = [textwrap.wrap(c.label, _HEAD_WIDTH) for c in comparison.columns]
    sizes = [
        max([len(cells[i + 2]) for cells in table] + [len(line) for line in head])
        for i, head in enumerate(heads)
    ]
    left = [_LABEL_WIDTH] + ([_FLOOR_WIDTH, _FLOOR_WIDTH] if floors else [])
    room = width - sum(left) - 2 * (len(left) - 1)
    blocks = _blocks(sizes, room)
    lines: list[str] = []
    for block in blocks:
        lines += _text_block(comparison, table, heads, sizes, block, left)
        lines.append("")
    for note in [*_legend(comparison), *foot(comparison)]:
        lines += textwrap.wrap(note, width, subsequent_indent="  ", break_long_words=False)
    return "\n".join(lines).rstrip() + "\n"


def _legend(comparison: Comparison) -> list[str]:
    legend = []
    if has_floors(comparison):
        legend.append(
            "maj.: floor of the majority class; untr.: the same model without pretraining."
        )
    if has_best(comparison):
        legend.append("* marks the best of a row that ranks.")
    return legend


def _blocks(sizes: Sequence[int], room: int) -> list[list[int]]:
    """Columns in groups that fit into `room` characters, at least one each."""
    blocks: list[list[int]] = [[]]
    for column, size in enumerate(sizes):
        taken = sum(sizes[i] + 2 for i in blocks[-1])
        if blocks[-1] and taken + size + 2 > room:
            blocks.append([])
        blocks[-1].append(column)
    return blocks


def _text_block(
    comparison: Comparison,
    table: Sequence[Sequence[str]],
    heads: Sequence[Sequence[str]],
    sizes: Sequence[int],
    block: Sequence[int],
    left: Sequence[int],
) -> list[str]:
    widths = [*left, *(sizes[i] for i in block)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    fixed = ["", "maj.", "untr."][: len(left)]
    height = max(len(heads[i]) for i in block)
    lines = []
    for line in range(height):
        last = line == height - 1
        names = ["" if line < height - len(heads[i]) else heads[i][line - height] for i in block]
        lines.append(_line([*(fixed if last else [""] * len(fixed)), *names], widths))
    section = ""
    for row, cells in zip(comparison.rows, table, strict=True):
        if row.section != section:
            section = row.section
            lines += [rule, TITLES[section]]
        label, *more = textwrap.wrap(row_label(row), left[0] - 2)
        # Of a range of floors, the one to beat.
        floors = [cells[0], cells[1].rpartition("–")[2]]
        front = [f"  {label}", *floors[: len(left) - 1]]
        lines.append(_line([*front, *(cells[i + 2] for i in block)], widths))
        lines += [f"    {rest}" for rest in more]
    return [*lines, rule]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    right = [cell.rjust(size) for cell, size in zip(others, widths[1:], strict=True)]
    return "  ".join([first.ljust(widths[0]), *right]).rstrip()


def to_markdown(comparison: Comparison) -> str:
    """One pipe table, the best of a row in bold, then the notes as a list."""
    floors = has_floors(comparison)
    front = ["", *FLOORS] if floors else [""]
    names = [column.label.replace("|", "\\|") for column in comparison.columns]
    lines = ["| " + " | ".join([*front, *names]) + " |"]
    lines.append("|---" + "|---:" * (len(front) - 1 + len(names)) + "|")
    section = ""
    for row in comparison.rows:
        if row.section != section:
            section = row.section
            lines.append(f"| **{TITLES[section]}** |" + " |" * (len(front) - 1 + len(names)))
        cells = show_row(comparison, row)
        if row.best is not None:
            cells[row.best] = f"**{cells[row.best]}**"
        before = show_floors(row) if floors else ()
        lines.append("| " + " | ".join([row_label(row), *before, *cells]) + " |")
    legend = ["Bold marks the best of a row that ranks."] if has_best(comparison) else []
    notes = [f"- {note}" for note in [*legend, *foot(comparison)]]
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def to_csv(runs: Sequence[Run]) -> str:
    """Raw numbers, one line for each run and quantity: shares not percent, seconds, nats."""
    comparison = compare(runs, group=False)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_HEAD)
    for i, column in enumerate(comparison.columns):
        run = column.runs[0]
        for row in comparison.rows:
            value = row.values[i]
            if value is None:
                continue
            writer.writerow(
                [
                    column.label,
                    run.id or run.folder or "",
                    run.group,
                    run.spec.seed,
                    row.section.lower(),
                    row.key,
                    *("" if x is None else repr(x) for x in (value.mean, value.sd)),
                    row.unit,
                    row.size or "",
                    "" if row.majority is None else repr(row.majority),
                    "" if row.untrained is None else repr(row.untrained[1]),
                    row.comparable,
                ]
            )
    return out.getvalue()


def _starred(comparison: Comparison, row: Row) -> list[str]:
    """The cells of a row: its two floors, then every column; a star is the best's."""
    cells = show_row(comparison, row)
    if row.best is not None:
        cells = [cell + ("*" if i == row.best else " ") for i, cell in enumerate(cells)]
    return [*show_floors(row), *cells]

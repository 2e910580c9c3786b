"""A comparison as text, Markdown or CSV."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Literal

from entromask.analysis.compare import compare
from entromask.analysis.runs import Run
from entromask.analysis.table import Comparison, Row, Unit, Value

Format = Literal["text", "md", "csv"]

_TITLES = {
    "Scores": "Scores (x 100)",
    "Validation": "Validation on the common random mask (losses in nats)",
    "Diagnostics": "Masks",
    "Cost": "Cost of pretraining",
}
_CSV_HEAD = (
    *("run", "folder", "group_hash", "seed", "section", "quantity", "value", "sd", "unit"),
    *("examples", "majority_floor", "untrained_floor", "comparable"),
)
_LABEL_WIDTH = 20
_FLOOR_WIDTH = 5
_HEAD_WIDTH = 11
_MINUS = "−"


def render(comparison: Comparison, style: Format = "text", width: int = 100) -> str:
    """The comparison in one of the three formats, ending in a newline."""
    if style == "csv":
        return to_csv([run for column in comparison.columns for run in column.runs])
    return to_markdown(comparison) if style == "md" else to_text(comparison, width)


def to_text(comparison: Comparison, width: int = 100) -> str:
    """Aligned plain text of at most `width` characters: what does not fit goes into a second block.

    A star marks the best of a row that ranks.
    """
    table = [_cells(comparison, row, star="*") for row in comparison.rows]
    floors = _has_floors(comparison)
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
    for note in _foot(comparison):
        lines += textwrap.wrap(note, width, subsequent_indent="  ", break_long_words=False)
    return "\n".join(lines).rstrip() + "\n"


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
            lines += [rule, _TITLES[section]]
        label, *more = textwrap.wrap(_label(row), left[0] - 2)
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
    floors = _has_floors(comparison)
    front = ["", "majority", "untrained"] if floors else [""]
    names = [column.label.replace("|", "\\|") for column in comparison.columns]
    lines = ["| " + " | ".join([*front, *names]) + " |"]
    lines.append("|---" + "|---:" * (len(front) - 1 + len(names)) + "|")
    section = ""
    for row in comparison.rows:
        if row.section != section:
            section = row.section
            lines.append(f"| **{_TITLES[section]}** |" + " |" * (len(front) - 1 + len(names)))
        cells = _cells(comparison, row, star="**")
        cells = cells if floors else cells[2:]
        lines.append("| " + " | ".join([_label(row), *cells]) + " |")
    notes = [f"- {note}" for note in _foot(comparison, markdown=True)]
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
                    run.folder or "",
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


def _has_floors(comparison: Comparison) -> bool:
    return any(row.majority is not None or row.untrained is not None for row in comparison.rows)


def _label(row: Row) -> str:
    return row.label if row.comparable else f"{row.label} (not comparable)"


def _cells(comparison: Comparison, row: Row, star: str) -> list[str]:
    """The cells of a row: the two floors, then every column."""
    floors = ["", ""]
    if row.majority is not None:
        floors[0] = f"{100 * row.majority:.1f}"
    if row.untrained is not None:
        low, high = (f"{100 * floor:.1f}" for floor in row.untrained)
        floors[1] = low if low == high else f"{low}–{high}"
    cells = []
    for column, value in enumerate(row.values):
        home = comparison.baseline
        if home is None or column == home:
            cell = show(value, row.unit)
        else:
            cell = show_difference(value, row.values[home], row)
        if column == row.best:
            cell = f"**{cell}**" if star == "**" else f"{cell}{star}"
        elif star == "*" and row.best is not None:
            cell += " "
        cells.append(cell)
    return [*floors, *cells]


def _compact(amount: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:.3g} {sign}"
    return f"{amount:.3g}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours = seconds / 60, seconds / 3600
    return f"{minutes:.1f} min" if minutes < 60 else f"{hours:.1f} h"


_SHOW: dict[Unit, Callable[[float], str]] = {
    "score": lambda x: f"{100 * x:.1f}",
    "nats": lambda x: f"{x:.3f}",
    "share": lambda x: f"{x:.3f}",
    "plain": lambda x: f"{x:.0f}" if x == round(x) else f"{x:.1f}",
    "count": _compact,
    "flops": lambda x: f"{x:.2e}",
    "seconds": _duration,
    "rate": _compact,
}
_SPREAD = ("score", "nats", "share")
_RATIOS = ("count", "flops", "seconds", "rate")


def show(value: Value | None, unit: Unit) -> str:
    """A value with its spread in the usual form: `56.1 ± 1.2`; a dash where there is none."""
    if value is None:
        return "-"
    if value.mean is None:
        return value.text or "-"
    text = _SHOW[unit](value.mean)
    if value.sd is not None and unit in _SPREAD:
        text += f" ± {_SHOW[unit](value.sd)}"
    return text.replace("-", _MINUS) if unit in _SPREAD else text


def show_difference(value: Value | None, home: Value | None, row: Row) -> str:
    """A value relative to the baseline's: a difference, or a ratio for costs.

    The spread of a difference is the root of the summed variances.
    """
    if value is None or home is None or value.mean is None or home.mean is None:
        return show(value, row.unit)
    if row.unit in _RATIOS:
        return f"x {value.mean / home.mean:.2f}" if home.mean else show(value, row.unit)
    if row.unit not in _SPREAD:
        return show(value, row.unit)
    if not row.comparable:
        return "-"
    difference = value.mean - home.mean
    text = ("+" if difference >= 0 else _MINUS) + _SHOW[row.unit](abs(difference))
    if value.sd is not None and home.sd is not None:
        text += f" ± {_SHOW[row.unit](math.hypot(value.sd, home.sd))}"
    return text


def _foot(comparison: Comparison, markdown: bool = False) -> list[str]:
    notes = []
    if not markdown and _has_floors(comparison):
        notes.append(
            "maj.: floor of the majority class; untr.: the same model without pretraining."
        )
    if any(row.best is not None for row in comparison.rows):
        notes.append(("Bold" if markdown else "*") + " marks the best of a row that ranks.")
    if comparison.baseline is not None:
        label = comparison.columns[comparison.baseline].label
        notes.append(f"Scores, losses and shares are differences to {label}, costs are ratios.")
    notes += comparison.notes
    notes += [f"Warning, {warning}" for warning in comparison.warnings]
    return notes

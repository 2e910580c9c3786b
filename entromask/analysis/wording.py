"""How the parts of a comparison are worded, whatever the format: values, differences, notes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from entromask.analysis.table import Comparison, Row, Unit, Value

TITLES = {
    "Scores": "Scores (x 100)",
    "Validation": "Validation on the common random mask (losses in nats)",
    "Diagnostics": "Masks",
    "Cost": "Cost of pretraining",
}
FLOORS = ("majority", "untrained")
MINUS = "−"
_TASK_TITLES = {
    **{"cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "stsb": "STS-B", "qqp": "QQP"},
    **{"mnli": "MNLI", "qnli": "QNLI", "rte": "RTE", "wnli": "WNLI", "ax": "AX", "blimp": "BLiMP"},
}


def task_title(task: str) -> str:
    """A task's name as papers write it; its own name where it has no other."""
    return _TASK_TITLES.get(task, task)


def has_floors(comparison: Comparison) -> bool:
    """Whether some row has a floor, so that the floors' two columns are shown."""
    return any(row.majority is not None or row.untrained is not None for row in comparison.rows)


def row_label(row: Row) -> str:
    return row.label if row.comparable else f"{row.label} (not comparable)"


def show_floors(row: Row) -> tuple[str, str]:
    """The floor of the majority class, and that (or the range) of models without pretraining."""
    majority = "" if row.majority is None else f"{100 * row.majority:.1f}"
    if row.untrained is None:
        return majority, ""
    low, high = (f"{100 * floor:.1f}" for floor in row.untrained)
    return majority, low if low == high else f"{low}–{high}"


def show_row(comparison: Comparison, row: Row) -> list[str]:
    """The cells of a row: its values, or their differences to the baseline."""
    home = comparison.baseline
    return [
        show(value, row.unit)
        if home is None or column == home
        else show_difference(value, row.values[home], row)
        for column, value in enumerate(row.values)
    ]


def compact(amount: float) -> str:
    """A large number in three digits: 12 M."""
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
    # z: a small negative number is 0.0, not −0.0.
    "score": lambda x: f"{100 * x:z.1f}",
    "nats": lambda x: f"{x:z.3f}",
    "share": lambda x: f"{x:.3f}",
    "plain": lambda x: f"{x:.0f}" if x == round(x) else f"{x:.1f}",
    "count": compact,
    "flops": lambda x: f"{x:.2e}",
    "seconds": _duration,
    "rate": compact,
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
    return text.replace("-", MINUS) if unit in _SPREAD else text


def show_difference(value: Value | None, home: Value | None, row: Row) -> str:
    """A value relative to the baseline's, else the value itself."""
    found = difference(value, home, row)
    if found is not None:
        return found
    # What may not be compared is no figure to set beside differences.
    return "-" if row.unit in _SPREAD and not row.comparable else show(value, row.unit)


def difference(value: Value | None, home: Value | None, row: Row) -> str | None:
    """A difference to the baseline's value, or a ratio for costs; None where there is neither.

    The spread of a difference is the root of the summed variances.
    """
    if value is None or home is None or value.mean is None or home.mean is None:
        return None
    if row.unit in _RATIOS:
        return f"x {value.mean / home.mean:.2f}" if home.mean else None
    if row.unit not in _SPREAD or not row.comparable:
        return None
    by = round(value.mean - home.mean, 12)  # equal means differ in their last digits
    text = ("+" if by >= 0 else MINUS) + _SHOW[row.unit](abs(by))
    if value.sd is not None and home.sd is not None:
        text += f" ± {_SHOW[row.unit](math.hypot(value.sd, home.sd))}"
    return text


def foot(comparison: Comparison) -> list[str]:
    """The sentences under a table that every format has."""
    notes = []
    if comparison.baseline is not None:
        label = comparison.columns[comparison.baseline].label
        notes.append(f"Scores, losses and shares are differences to {label}, costs are ratios.")
    return [*notes, *comparison.notes, *(f"Warning, {text}" for text in comparison.warnings)]


def has_best(comparison: Comparison) -> bool:
    return any(row.best is not None for row in comparison.rows)


def joined(words: Sequence[str]) -> str:
    """Words as a sentence lists them: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and its noun: 1 seed, 3 seeds, 1,200 steps."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

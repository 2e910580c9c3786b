"""What a comparison is made of: values, rows, columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any, Literal

from entromask.analysis.runs import Run

Unit = Literal["score", "nats", "share", "plain", "count", "flops", "seconds", "rate"]
Section = Literal["Scores", "Validation", "Diagnostics", "Cost"]


@dataclass(frozen=True)
class Value:
    """A mean and its standard deviation; `text` stands in where there is no number."""

    mean: float | None
    sd: float | None = None
    text: str | None = None


@dataclass(frozen=True)
class Row:
    """One quantity. `values` are in the order of the columns, None where a run lacks it.

    `majority` is the majority-class floor, `untrained` the lowest and the highest score of the
    same models without pretraining, `size` the number of scored examples; `best` is the column to
    mark, None where nothing ranks.
    """

    section: Section
    key: str
    label: str
    unit: Unit
    values: tuple[Value | None, ...]
    higher_is_better: bool | None = None
    majority: float | None = None
    untrained: tuple[float, float] | None = None
    size: int | None = None
    comparable: bool = True
    best: int | None = None

    @property
    def means(self) -> list[tuple[int, float]]:
        """(column, mean) of every column that has a number."""
        return [(i, v.mean) for i, v in enumerate(self.values) if v and v.mean is not None]

    @property
    def ranks(self) -> bool:
        """Whether some column is above every known floor, so that an order can mean anything."""
        floors = [self.majority] if self.majority is not None else []
        floors += [self.untrained[1]] if self.untrained is not None else []
        return any(all(mean > floor for floor in floors) for _, mean in self.means)


@dataclass(frozen=True)
class Column:
    """The runs of one method: one, or several that differ only in the pretraining seed."""

    label: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Comparison:
    """A finished table. `notes` are cautions, `warnings` what the runs say about themselves."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    baseline: int | None = None


Number = Callable[[Run], float | None]


def number(value: Any) -> float | None:
    """A finite number, or None."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def entry(part: str, key: str) -> Number:
    """Reads one number out of a run's results.json."""
    return lambda run: number((run.results.get(part) or {}).get(key))


def summary(numbers: Sequence[float]) -> Value:
    """Mean and sample standard deviation (None for a single number)."""
    return Value(fmean(numbers), stdev(numbers) if len(numbers) > 1 else None)


def over_runs(
    column: Column, read: Number, spread: Callable[[Run], Sequence[float]] | None = None
) -> Value | None:
    """A quantity over a column's pretraining seeds.

    Args:
        spread: for a column of one run, the numbers inside it (fine-tuning seeds) whose standard
            deviation is shown instead.
    """
    numbers = [found for found in map(read, column.runs) if found is not None]
    if not numbers:
        return None
    value = summary(numbers)
    if len(column.runs) == 1 and spread is not None:
        inside = spread(column.runs[0])
        return replace(value, sd=summary(inside).sd) if inside else value
    return value

"""What the specs of a comparison's columns differ in, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entromask.analysis.table import Column

# No part of the method.
_LABELS = ("name", "tags")


@dataclass(frozen=True)
class Difference:
    """A dotted key of the spec and its value in each column, in their order.

    None also stands for a key that a column's spec does not have. Where the runs of one column
    differ (the seed), their values are a list.
    """

    key: str
    values: tuple[Any, ...]


def spec_differences(columns: Sequence[Column]) -> list[Difference]:
    """The keys whose values differ between the columns, in the order of a spec."""
    specs = [[dict(_leaves(run.spec.data())) for run in column.runs] for column in columns]
    keys = dict.fromkeys(key for column in specs for spec in column for key in spec)
    found = []
    for key in keys:
        values = [_of_column([spec.get(key) for spec in column]) for column in specs]
        if any(value != values[0] for value in values):
            found.append(Difference(key, tuple(values)))
    return found


def _leaves(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        elif prefix or key not in _LABELS:
            yield prefix + key, value


def _of_column(values: Sequence[Any]) -> Any:
    distinct = [value for i, value in enumerate(values) if value not in values[:i]]
    return distinct[0] if len(distinct) == 1 else sorted(distinct, key=_order)


def _order(value: Any) -> tuple[bool, float, str]:
    """Numbers by size, then everything else."""
    return (False, value, "") if isinstance(value, int | float) else (True, 0.0, repr(value))

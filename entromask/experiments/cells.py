"""The methods of an experiment: every combination of its axes, and which is compared with which."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from entromask.errors import InputError
from entromask.experiments.spec import ExperimentSpec
from entromask.overrides import set_key
from entromask.parts.masking import Masking
from entromask.spec_errors import SpecError

Role = Literal["baseline", "method", "control", "teacher"]
METHODS = "methods"
_LONGEST_KEY = 80


@dataclass(frozen=True)
class Choice:
    """One value of an axis: how it is called, and the keys of the spec that it sets."""

    label: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """What an experiment varies: its methods, or one key of the matrix."""

    name: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Cell:
    """One method of an experiment, whatever its seeds.

    `settings` are the dotted keys that it sets over the base. `baseline` is the key of the cell
    that it is compared with, `matched` that of the control at its compute; both may be None.
    """

    key: str
    label: str
    role: Role
    settings: Mapping[str, Any]
    baseline: str | None = None
    matched: str | None = None


def cells_of(spec: ExperimentSpec) -> list[Cell]:
    """The cells of the axes, the baselines first; without controls and teachers.

    Raises:
        SpecError: two choices of one axis are called alike, or the baseline is none of them.
    """
    axes = axes_of(spec)
    home = baseline_of(spec, axes)
    found: dict[tuple[int, ...], Cell] = {}
    for place in itertools.product(*(range(len(axis.choices)) for axis in axes)):
        chosen = [axis.choices[i] for axis, i in zip(axes, place, strict=True)]
        label = ", ".join(choice.label for choice in chosen) or "base"
        settings = {key: value for choice in chosen for key, value in choice.settings.items()}
        found[place] = Cell(slug(label), label, "method", settings)
    keyed = dict(zip(found, _with_distinct_keys(list(found.values())), strict=True))
    cells = []
    for place, cell in keyed.items():
        at_home = tuple(home.get(axis.name, i) for axis, i in zip(axes, place, strict=True))
        if at_home == place:
            cells.append(replace(cell, role="baseline"))
        else:
            cells.append(replace(cell, baseline=keyed[at_home].key))
    return sorted(cells, key=lambda cell: cell.role != "baseline")


def spec_of(spec: ExperimentSpec, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a run's spec: the base with some keys set."""
    data: dict[str, Any] = {}
    for key, value in [*spec.base.items(), *settings.items()]:
        set_key(data, key, json.loads(json.dumps(value)))
    return data


def slug(text: str) -> str:
    """A label as part of a file name and of an address."""
    word = re.sub(r"[^a-z0-9.]+", "-", text.lower().replace("+", " plus ")).strip("-.")
    return word[:_LONGEST_KEY].strip("-.") or "method"


def _with_distinct_keys(cells: Sequence[Cell]) -> list[Cell]:
    seen: dict[str, int] = {}
    keyed = []
    for cell in cells:
        seen[cell.key] = seen.get(cell.key, 0) + 1
        number = seen[cell.key]
        keyed.append(cell if number == 1 else replace(cell, key=f"{cell.key}-{number}"))
    return keyed


def axes_of(spec: ExperimentSpec) -> list[Axis]:
    """What an experiment varies.

    Raises:
        SpecError: an axis has a value twice.
    """
    return list(_axes(spec))


def _axes(spec: ExperimentSpec) -> Iterator[Axis]:
    if spec.methods:
        choices = [Choice(label, settings) for label, settings in spec.methods.items()]
        yield Axis(METHODS, tuple(choices))
    for key, values in spec.matrix.items():
        choices = [Choice(_label(key, value), {key: value}) for value in values]
        labels = [choice.label for choice in choices]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise SpecError.at(
                ("matrix", key),
                f"matrix.{key}: the value {twice} stands there twice",
                "name each value once",
            )
        yield Axis(key, tuple(choices))


def _label(key: str, value: Any) -> str:
    """A value in words; a preset's name speaks for itself."""
    if key == "masking.preset":
        return str(value)
    if isinstance(value, Mapping) and set(value) == {"preset"}:
        return str(value["preset"])
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_plain(item)}" for name, item in value.items())
    return f"{key.rpartition('.')[2]}={_plain(value)}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def baseline_of(spec: ExperimentSpec, axes: Sequence[Axis]) -> dict[str, int]:
    """By axis, which choice the baseline has; what differs in another axis is compared in pairs.

    Raises:
        SpecError: the baseline is none of the choices.
    """
    wanted = spec.baseline
    if wanted is None:
        return _random_masking(spec, axes)
    if isinstance(wanted, str):
        for axis in axes:
            for i, choice in enumerate(axis.choices):
                if wanted in (choice.label, slug(choice.label)):
                    return {axis.name: i}
        known = [choice.label for axis in axes for choice in axis.choices]
        raise SpecError.at(
            ("baseline",),
            f"baseline '{wanted}' is no method of this experiment",
            f"one of: {', '.join(known)}" if known else "name methods, or a matrix",
        )
    found = {}
    for key, value in wanted.items():
        named = next((axis for axis in axes if axis.name == key), None)
        if named is None:
            raise SpecError.at(
                ("baseline", key),
                f"baseline.{key} is no key of the matrix",
                f"the keys are {', '.join(axis.name for axis in axes) or 'none'}",
            )
        places = [
            i
            for i, choice in enumerate(named.choices)
            if choice.settings.get(key, choice.label) == value
        ]
        if not places:
            raise SpecError.at(
                ("baseline", key),
                f"baseline.{key}: {_plain(value)} is none of its values",
                f"one of: {', '.join(choice.label for choice in named.choices)}",
            )
        found[key] = places[0]
    return found


def _random_masking(spec: ExperimentSpec, axes: Sequence[Axis]) -> dict[str, int]:
    """The choice of plain random masking, where an axis has one."""
    for axis in axes:
        for i, choice in enumerate(axis.choices):
            touched = {key.partition(".")[0] for key in choice.settings}
            if touched <= {"masking", "distillation"} and "masking" in touched:
                data = spec_of(spec, choice.settings)
                if not data.get("distillation") and _is_random(data.get("masking")):
                    return {axis.name: i}
    if not axes:
        return {}
    raise SpecError.at(
        ("baseline",),
        "baseline is not named, and no method is plain random masking",
        "set baseline to a method's name, or to values of the matrix: {masking.preset: random}",
    )


def _is_random(masking: Any) -> bool:
    try:
        found = Masking.model_validate(masking or {}).resolved()
    except (ValueError, InputError):
        return False
    return found.score == "uniform" and found.unit == "token" and isinstance(found.rate, float)

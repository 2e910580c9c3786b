"""Changes of a stored spec by dotted key, for clones."""

from __future__ import annotations

import copy
from typing import Any

from backend.problems import ProblemError, pointer
from entromask.errors import InputError
from entromask.overrides import override
from entromask.presets import MASKING_PRESETS
from entromask.spec import Masking
from entromask.spec_errors import Location, SpecError


def apply_overrides(spec: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """A copy of a resolved spec with some keys set anew.

    Where a preset or an architecture changes, the defaults of the old one go with it: they are
    written out in a resolved spec, and would override the new one's.

    Raises:
        ProblemError: a key through something that is no group of keys.
    """
    data = copy.deepcopy(spec)
    if "masking.preset" in overrides:
        data["masking"] = _own_parts(data["masking"])
    if "model.architecture" in overrides:
        data["model"]["dropout"] = None
    for key, value in overrides.items():
        _set(data, key, value)
    return data


def _own_parts(masking: dict[str, Any]) -> dict[str, Any]:
    """The parts that do not come from the preset."""
    preset = masking.get("preset")
    if preset not in MASKING_PRESETS:
        return {}
    defaults = Masking(preset=preset).resolved().model_dump(mode="json")
    return {key: value for key, value in masking.items() if value != defaults.get(key)}


def _set(data: dict[str, Any], key: str, value: Any) -> None:
    try:
        override(data, key, value)
    except InputError as error:
        errors = [(pointer(("overrides", key)), error.message.partition(": ")[2])]
        raise ProblemError(
            "invalid_spec", error.message, "set the whole group", errors=errors
        ) from None


def spec_problem_of_clone(error: SpecError, overrides: dict[str, Any]) -> ProblemError:
    """A refused clone: pointers lead to the overrides that brought the problems."""
    errors = [(_blamed(found.location, overrides), found.sentence) for found in error.problems]
    return ProblemError("invalid_spec", error.message, error.hint, errors=errors)


def _blamed(location: Location, overrides: dict[str, Any]) -> str:
    for length in range(len(location), 0, -1):
        key = ".".join(map(str, location[:length]))
        if key in overrides:
            return pointer(("overrides", key, *location[length:]))
    return pointer(("overrides",))

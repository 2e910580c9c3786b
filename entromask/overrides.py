"""Sets single keys of a spec's plain data by dotted name: `masking.rate`."""

from __future__ import annotations

from typing import Any

from entromask.errors import InputError
from entromask.spec_errors import HINT


def override(data: dict[str, Any], key: str, value: Any) -> None:
    """Set one key of a spec that may have been written out by an earlier version.

    A whole tokenizer that replaces the spec's means what it means in a new spec.

    Raises:
        InputError: as of `set_key`.
    """
    if key == "tokenizer" and isinstance(value, dict) and value.get("source") == "train":
        value = {"algorithm": "wordpiece", **value}
    set_key(data, key, value)


def set_key(data: dict[str, Any], key: str, value: Any) -> None:
    """Sets one key in place; groups of keys on the way that are missing are made.

    Whether the key exists in a spec is for `RunSpec.parse` to say.

    Raises:
        InputError: the way leads through something that is no group of keys.
    """
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        if place.get(parent) is None:
            place[parent] = {}
        place = place[parent]
        if not isinstance(place, dict):
            raise InputError(
                f"{key}: '{parent}' is a value in this spec, not a group of keys", HINT
            )
    if key.startswith("pretraining.budget."):
        # A budget is one of four keys: naming one replaces the spec's own.
        place.clear()
    place[last] = value

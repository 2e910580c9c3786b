"""A run's spec beside the defaults of its masking preset."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st
import yaml

from entromask.client import ApiError, Client
from entromask.resources import Run
from frontend.parts.known import known
from frontend.parts.tables import table
from frontend.session import literal

# These say which run it is, not what it does.
_NAMES = ("name", "tags")
_NOTHING = "–"


def flat(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """`{"a": {"b": 1}}` is `{"a.b": 1}`; lists are values."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{above}{key}.")
        else:
            found[f"{above}{key}"] = value
    return found


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(dotted key, our value, their value) where they differ, in the order of the spec.

    A part that one of them leaves out, such as `teacher: null`, is one difference.
    """
    mine, other = flat(ours), flat(theirs)
    keys = list(dict.fromkeys([*mine, *other]))
    return [
        (key, mine.get(key), other.get(key))
        for key in keys
        if key.split(".")[0] not in _NAMES
        and mine.get(key) != other.get(key)
        # `teacher` itself, where the other one has `teacher.run`.
        and not any(inner.startswith(f"{key}.") for inner in keys)
    ]


def shown(value: Any) -> str:
    """A value of a spec in a table."""
    if value is None:
        return _NOTHING
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(shown(one) for one in value) or "none"
    return json.dumps(value, ensure_ascii=False)


def spec_page(api: Client, run: Run) -> None:
    """The spec as YAML, above it what it changes of its preset's defaults."""
    preset = run.spec.get("masking", {}).get("preset")
    named = preset or "random"
    st.markdown("#### What this run changes")
    try:
        defaults = known(f"defaults {run.id}", named, lambda: _defaults(api, run, named))
    except ApiError as error:
        st.info(f"The defaults of {literal(named)} cannot be asked for: {literal(error.message)}.")
    else:
        rows = [
            [key, shown(here), shown(there)] for key, here, there in differences(run.spec, defaults)
        ]
        who = f"a run of the preset {named} with every other key at its default"
        if preset is None:
            who += " (this run's masking names no preset)"
        if rows:
            table(
                ["Key", "This run", f"Default of {named}"],
                rows,
                caption=f"Compared with {who}. {len(rows)} keys differ.",
            )
        else:
            st.caption(literal(f"Nothing: it is {who}."))
    st.markdown("#### Spec, with every default written out")
    text = yaml.safe_dump(run.spec, sort_keys=False, allow_unicode=True, width=90)
    st.code(text, language="yaml")


def _defaults(api: Client, run: Run, preset: str) -> dict[str, Any]:
    """The resolved spec of the preset alone; with this run's teacher, which it may need."""
    spec: dict[str, Any] = {"masking": {"preset": preset}}
    if run.spec.get("teacher"):
        spec["teacher"] = run.spec["teacher"]
    return api.validate_run(spec).spec

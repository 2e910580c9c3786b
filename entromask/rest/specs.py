"""A spec on its way to a service: what it names on this machine is named in full."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entromask.spec import RunSpec

# Where a spec holds paths: the keys that lead to a value or to a list of values.
_PATHS: tuple[tuple[str, ...], ...] = (
    ("corpus", "path"),
    ("tokenizer", "path"),
    ("evaluation", "source", "local"),
)
# Where it names a model: {path}, {run} or {hub}.
_MODELS: tuple[tuple[str, ...], ...] = (("teacher",), ("model", "init"))


def to_send(spec: RunSpec | Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """The plain data of a spec, of its file or of a mapping; local paths are made absolute.

    The service has another working directory. What is left out stays so: defaults are the
    service's business.

    Raises:
        InputError: the file cannot be read, or holds no valid spec.
    """
    if isinstance(spec, str | Path):
        spec = RunSpec.load(spec)
    if isinstance(spec, RunSpec):
        data = spec.model_dump(mode="json", exclude_unset=True)
    else:
        data = dict(spec)
    for keys in _PATHS:
        data = _changed(data, keys, _absolute)
    for keys in _MODELS:
        data = _changed(data, (*keys, "path"), _absolute)
        data = _changed(data, (*keys, "run"), _run)
    return data


def _changed(data: dict[str, Any], keys: tuple[str, ...], change: Any) -> dict[str, Any]:
    """A copy with one value changed, if it is there."""
    first, *rest = keys
    value = data.get(first)
    if value is None or (rest and not isinstance(value, Mapping)):
        return data
    if rest:
        return data | {first: _changed(dict(value), tuple(rest), change)}
    return data | {first: change(value)}


def _absolute(value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(item) for item in value]
    return str(Path(value).expanduser().absolute()) if isinstance(value, str) else value


def _run(value: Any) -> Any:
    """A run is named by its id, or by the path of its folder."""
    if isinstance(value, str) and (Path(value).expanduser() / "spec.yaml").is_file():
        return _absolute(value)
    return value

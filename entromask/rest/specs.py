"""A spec on its way to a service: what it names on this machine is named in full."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from entromask.experiments import ExperimentSpec
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
    for keys, change in _CHANGES:
        data = _changed(data, keys, change)
    return data


def to_send_experiment(spec: ExperimentSpec | Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """The same of an experiment: in its base, its methods, its teachers and its matrix.

    Raises:
        InputError: the file cannot be read, or holds no valid experiment.
    """
    if isinstance(spec, str | Path):
        spec = ExperimentSpec.load(spec)
    if isinstance(spec, ExperimentSpec):
        data = spec.model_dump(mode="json", exclude_unset=True)
    else:
        data = dict(spec)
    for name in ("base", "methods", "teachers", "matrix"):
        part = data.get(name)
        if not isinstance(part, Mapping):
            continue
        if name == "base":
            data[name] = _settings_to_send(part)
        elif name == "matrix":
            data[name] = {key: _values_to_send(key, values) for key, values in part.items()}
        else:
            data[name] = {
                label: _settings_to_send(chosen) if isinstance(chosen, Mapping) else chosen
                for label, chosen in part.items()
            }
    return data


def _values_to_send(key: str, values: Any) -> Any:
    if not isinstance(values, list):
        return values
    return [_settings_to_send({key: value})[key] for value in values]


def _settings_to_send(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a spec, nested or dotted, with local paths made absolute."""
    data = dict(settings)
    for keys, change in _CHANGES:
        # `corpus: {path: …}` and `corpus.path: …` alike: the first keys may be one dotted key.
        for cut in range(1, len(keys) + 1):
            dotted = ".".join(keys[:cut])
            data = _changed(data, (dotted, *keys[cut:]), change)
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


def _user_tasks(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        name: _changed(dict(task), ("path",), _absolute) if isinstance(task, Mapping) else task
        for name, task in value.items()
    }


def _run(value: Any) -> Any:
    """A run is named by its id, or by the path of its folder."""
    if isinstance(value, str) and (Path(value).expanduser() / "spec.yaml").is_file():
        return _absolute(value)
    return value


_CHANGES: tuple[tuple[tuple[str, ...], Callable[[Any], Any]], ...] = (
    *((keys, _absolute) for keys in _PATHS),
    (("evaluation", "user_tasks"), _user_tasks),
    *(((*keys, "path"), _absolute) for keys in _MODELS),
    *(((*keys, "run"), _run) for keys in _MODELS),
)

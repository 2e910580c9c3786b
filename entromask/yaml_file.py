"""Reads a spec's YAML or JSON file, and sets single keys in it (`--set a.b=c`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from entromask.errors import InputError
from entromask.overrides import override as override_key
from entromask.spec_errors import HINT


class _Loader(yaml.SafeLoader):
    """YAML without its traps: a key given twice is an error, and 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _yaml(text: str) -> Any:
    return yaml.load(text, Loader=_Loader)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file.

    Raises:
        InputError: the file is missing, not UTF-8, not YAML, or not a mapping.
    """
    try:
        data = _yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no spec file {path}", "try examples/quick.yaml") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a spec file", "name a .yaml file") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text", "a spec is a YAML or JSON file") from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{path} is not valid YAML: {problem}", HINT) from None
    if not isinstance(data, dict):
        kind = "nothing" if data is None else type(data).__name__
        raise InputError(f"{path} holds {kind}, not a mapping of keys to values", HINT)
    return data


def apply_override(data: dict[str, Any], override: str) -> None:
    """Sets one key of a spec's plain data, in place, from text such as `masking.rate=0.2`.

    Raises:
        InputError: not of that form, not a YAML value, or a path through something that is no
            group of keys. Whether the key exists is for `RunSpec.parse` to say.
    """
    path, equals, text = override.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set '{override}' is not of the form a.b=c", "e.g. --set seed=1")
    try:
        value = _yaml(text)
    except yaml.YAMLError:
        raise InputError(f"--set {path}: '{text}' is not a YAML value", "quote it") from None
    try:
        override_key(data, path.strip(), value)
    except InputError as error:
        raise InputError(f"--set {error.message}", error.hint) from None

"""The keys of a spec as fields of a form: made from its schema, so that none can be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import yaml

from entromask.spec import RunSpec
from frontend.parts.submit.spec_text import Path, YamlError, get, read

Kind = Literal["number", "text", "choice", "numbers", "words", "any"]


@dataclass(frozen=True)
class Field:
    """A key of a spec.

    Args:
        kind: `any` is a number, a word or YAML in braces.
        options: of a choice, as they are shown.
        default: None also where it depends on other keys.
        help: what the key means, in the spec's own words.
    """

    path: Path
    kind: Kind
    default: Any
    help: str
    options: tuple[Any, ...] = ()

    @property
    def label(self) -> str:
        return str(self.path[-1]).replace("_", " ").capitalize()

    @property
    def key(self) -> str:
        """Its name in a browser session."""
        return "spec." + ".".join(map(str, self.path))


@cache
def schema() -> dict[str, Any]:
    return RunSpec.model_json_schema()


def fields(group: str, data: Mapping[str, Any] | None = None) -> list[Field]:
    """All keys of a group, those of its groups among them.

    Args:
        data: the spec, where it decides which keys there are: `corpus.source` does.
    """
    node = schema()["properties"][group]
    return list(_fields((group,), node, get(data or {}, (group,))))


def field_of(*path: str) -> Field:
    """One key."""
    return next(one for one in fields(path[0]) if one.path == path)


def fields_of_kind(path: Path, name: str) -> list[Field]:
    """The keys of a group that a key may hold in place of a plain value.

    Args:
        name: of the group, such as `RateSchedule` of `masking.rate`.
    """
    return list(_fields(path, {"$ref": f"#/$defs/{name}"}, None))


def _fields(path: Path, node: dict[str, Any], value: Any) -> Iterator[Field]:
    kinds = [kind for kind in _kinds(node) if kind.get("type") != "null"]
    groups = [kind for kind in kinds if "properties" in kind]
    if groups and len(groups) == len(kinds):
        chosen = _variant(groups, value)
        inner = value if isinstance(value, Mapping) else {}
        for name, part in chosen["properties"].items():
            yield from _fields((*path, name), _merged(part, groups, name), inner.get(name))
        return
    kind, options = _kind(kinds)
    yield Field(path, kind, node.get("default"), node.get("description", ""), options)


def _kinds(node: dict[str, Any]) -> list[dict[str, Any]]:
    """The kinds of value that a key may hold, references followed."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return _kinds(schema()["$defs"][name])
    for word in ("anyOf", "oneOf"):
        if word in node:
            return [found for one in node[word] for found in _kinds(one)]
    return [node]


def _variant(groups: Sequence[dict[str, Any]], value: Any) -> dict[str, Any]:
    """The group whose `source` the value names; else the first."""
    source = value.get("source") if isinstance(value, Mapping) else None
    return next((one for one in groups if _source(one) == source), groups[0])


def _source(group: dict[str, Any]) -> Any:
    return group["properties"].get("source", {}).get("const")


def _merged(part: dict[str, Any], groups: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """`source` is a choice between the groups; every other key is the chosen group's own."""
    if name != "source" or len(groups) == 1 or not all(map(_source, groups)):
        return part
    return {"enum": [_source(one) for one in groups], "description": "where it comes from"}


def _kind(kinds: Sequence[dict[str, Any]]) -> tuple[Kind, tuple[Any, ...]]:
    if len(kinds) > 1:
        return "any", ()
    only = kinds[0]
    if "const" in only:
        return "choice", (only["const"],)
    if "enum" in only:
        return "choice", tuple(only["enum"])
    if only.get("type") == "array":
        return ("words" if only["items"].get("type") == "string" else "numbers"), ()
    return _KINDS.get(only.get("type", ""), ("any", ()))


_KINDS: dict[str, tuple[Kind, tuple[Any, ...]]] = {
    "boolean": ("choice", (True, False)),
    "integer": ("number", ()),
    "number": ("number", ()),
    "string": ("text", ()),
}


def shown(value: Any, kind: Kind = "any") -> str:
    """A value as a field shows it; nothing where the key is not there."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if kind in _LISTS and isinstance(value, list) and not any(map(_is_group, value)):
        return ", ".join(shown(one) for one in value)
    text: str = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False
    )
    return text.removesuffix("...\n").strip()


def meant(text: str, kind: Kind) -> Any:
    """The value of a text in a field; None: the key is left out."""
    text = text.strip()
    if not text:
        return None
    if kind == "text":
        return text
    if kind in _LISTS and text[0] != "[":
        words = [word for word in re.split(r"\s*,\s*", text) if word]
        return words if kind == "words" else [_number(word) for word in words]
    return _yaml(text) if text[0] in "{[" else _number(text)


_LISTS = ("numbers", "words")


def _is_group(value: Any) -> bool:
    return isinstance(value, dict | list)


def _number(text: str) -> Any:
    """`1e-3` and `0.001` are numbers, other words stay words."""
    if re.fullmatch(r"[-+]?\d{1,18}", text):
        return int(text)
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,2})?", text, re.IGNORECASE):
        return float(text)
    return text


def _yaml(text: str) -> Any:
    try:
        return read(f"value: {text}").data["value"]
    except (YamlError, KeyError):
        return text

"""A spec's YAML text: read with the line of every key, and changed one key at a time.

A change leaves the rest of the text, its comments and its order, as they are wherever that can be
done; the result is read again to make sure of it.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from frontend.parts.submit.spec_patch import lines, patched

Path = tuple[str | int, ...]


class YamlError(Exception):
    """What keeps a text from being a mapping; line and column count from 1."""

    def __init__(self, sentence: str, line: int = 1, column: int = 1) -> None:
        super().__init__(sentence)
        self.sentence, self.line, self.column = sentence, line, column

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.sentence}"


class _Loader(yaml.SafeLoader):
    """YAML without aliases: one text could stand for a huge one, and a key for two places."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, "an alias (*name) is not understood here; write its value", mark
            )
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class Document:
    """A text that is YAML: its data, its nodes, and the line of each key, from 1."""

    text: str
    data: dict[str, Any]
    root: yaml.MappingNode | None
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int | None:
        """The line of a key; of the nearest group around it where the key is not there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path)


def read(text: str) -> Document:
    """The mapping that a text holds; an empty text is an empty mapping.

    Raises:
        YamlError: it is not YAML, not a mapping, or holds what no spec can hold.
    """
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return Document(text, {}, None)
        lines: dict[Path, int] = {}
        _walk(root, (), lines)
        data = loader.construct_document(root)
        json.dumps(data, allow_nan=False)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        sentence = " ".join(str(error.problem or error.context or "not YAML").split())
        if mark is None:
            raise YamlError(sentence) from None
        raise YamlError(sentence, mark.line + 1, mark.column + 1) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        column = len(before) - before.rfind("\n")
        sentence = "a character that YAML does not allow"
        raise YamlError(sentence, before.count("\n") + 1, column) from None
    except (ValueError, TypeError, RecursionError) as error:
        raise YamlError(f"a value that no spec can hold: {error}") from None
    if not isinstance(root, yaml.MappingNode):
        raise YamlError("the text is not a mapping of keys to values, such as `seed: 0`")
    return Document(text, data, root, lines)


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int]) -> None:
    """Notes the lines of all keys, and refuses what JSON has no form for."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode) or not key.tag.endswith(":str"):
                raise _fault(key, "a key of a spec is a word")
            place = (*path, key.value)
            if place in lines:
                raise _fault(key, f"the key '{key.value}' is given twice")
            lines[place] = key.start_mark.line + 1
            _walk(value, place, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[(*path, number)] = item.start_mark.line + 1
            _walk(item, (*path, number), lines)
    elif node.tag.rpartition(":")[2] in ("timestamp", "binary"):
        raise _fault(node, f"'{node.value}' is read as a {node.tag.rpartition(':')[2]}; quote it")
    elif node.tag.endswith(":float") and re.fullmatch(r"[-+]?\.(inf|nan)", node.value, re.I):
        raise _fault(node, f"'{node.value}' is no number that a spec can hold")


def _fault(node: yaml.Node, sentence: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(None, None, sentence, node.start_mark)


def dump(data: Mapping[str, Any]) -> str:
    """Data as YAML."""
    return "".join(f"{line}\n" for line in lines(data))


def get(data: Mapping[str, Any], path: Path) -> Any:
    """The value of a key, None where it is not there."""
    place: Any = data
    for part in path:
        if isinstance(place, Mapping):
            place = place.get(part)
        elif isinstance(place, list) and isinstance(part, int) and part < len(place):
            place = place[part]
        else:
            return None
    return place


def with_value(data: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with one key set, or removed where the value is None; so are groups left empty."""
    first, *rest = path
    made = dict(data)
    if rest:
        inner = made.get(str(first))
        value = with_value(inner if isinstance(inner, Mapping) else {}, tuple(rest), value) or None
    if value is None:
        made.pop(str(first), None)
    else:
        made[str(first)] = copy.deepcopy(value)
    return made


def changed(document: Document, path: Path, value: Any) -> str:
    """The text with one key set, or removed where the value is None."""
    wanted = with_value(document.data, path, value)
    text = patched(document.text, document.root, path, value, wanted)
    if text is not None:
        try:
            if same(read(text).data, wanted):
                return text
        except YamlError:
            pass
    return dump(wanted)


def same(one: Any, other: Any) -> bool:
    """Whether two pieces of data are the same for a program that reads them: 1 is not 1.0."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

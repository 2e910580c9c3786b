"""Changes one key in a YAML text by its place in it, so that comments and order stay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

# A group in braces that gets longer becomes lines of its own.
_WIDTH = 76
_KEYS = (
    *("name", "seed", "tags", "corpus", "tokenizer", "model", "teacher", "masking"),
    *("distillation", "pretraining", "evaluation"),
)
_RANK = {key: place for place, key in enumerate(_KEYS)}


def patched(
    text: str,
    root: yaml.MappingNode | None,
    path: tuple[str | int, ...],
    value: Any,
    wanted: Mapping[str, Any],
) -> str | None:
    """The changed text, or None where there is no simple way.

    Args:
        path: leads to the key through groups.
        value: its new value; None: the key goes.
        wanted: the data that the new text is to hold.
    """
    if root is None or root.flow_style or not wanted:
        return None
    group: yaml.MappingNode = root
    for depth, part in enumerate(path):
        entry = _entry(group, part)
        if entry is None:
            # What is missing here is written with everything in it.
            rest = value
            for key in reversed(path[depth + 1 :]):
                rest = None if rest is None else {str(key): rest}
            return text if rest is None else _added(text, group, str(part), rest)
        last = depth == len(path) - 1
        inner = _at(wanted, path[: depth + 1])
        if inner is None:
            return _removed(text, group, entry)
        if last or not isinstance(entry[1], yaml.MappingNode) or entry[1].flow_style:
            return _replaced(text, entry, inner)
        group = entry[1]
    return None


def _entry(group: yaml.MappingNode, key: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    return next(((k, v) for k, v in group.value if k.value == key), None)


def _at(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _replaced(text: str, entry: tuple[yaml.Node, yaml.Node], value: Any) -> str:
    key, old = entry
    end = _end(old)
    block = isinstance(old, yaml.CollectionNode) and not old.flow_style
    if block or old.start_mark.index == end:
        # From behind the key's colon on.
        start = text.index(":", key.end_mark.index) + 1
        end = max(end, start)
        return text[:start] + _spaced(_written(value, key)) + text[end:]
    new = _written(value, key)
    start = old.start_mark.index
    if new.startswith("\n"):
        start = len(text[:start].rstrip(" "))
    return text[:start] + new + text[end:]


def _added(text: str, group: yaml.MappingNode, key: str, value: Any) -> str | None:
    if group.flow_style or not group.value:
        return None
    first = group.value[0][0]
    column = int(first.start_mark.column)
    rank = _RANK.get(key, len(_RANK))
    before = [entry for entry in group.value if _RANK.get(entry[0].value, len(_RANK)) <= rank]
    after = (before if column == 0 else group.value)[-1:]
    line = f"{key}:{_spaced(_written(value, first, key))}"
    if not after:
        start = int(first.start_mark.index)
        return text[:start] + line + "\n" + text[start:]
    place = _line_end(text, _end(after[0][1]))
    return text[:place] + "\n" + " " * column + line + text[place:]


def _removed(text: str, group: yaml.MappingNode, entry: tuple[yaml.Node, yaml.Node]) -> str | None:
    if group.flow_style:
        return None
    start = text.rfind("\n", 0, entry[0].start_mark.index) + 1
    end = _line_end(text, max(_end(entry[1]), entry[0].end_mark.index))
    before, rest = text[:start], text[end + 1 :]
    if before.endswith("\n\n") and rest.startswith("\n"):
        rest = rest[1:]  # one empty line in its place, not two
    return before + rest


def _written(value: Any, key: yaml.Node, name: str | None = None) -> str:
    """A value behind its key: on the same line, or on lines of its own."""
    indent = int(key.start_mark.column)
    return _behind(value, indent, len(name if name is not None else str(key.value)))


def lines(data: Mapping[str, Any], indent: int = 0) -> list[str]:
    """Data as YAML: a group of single values in braces where it fits, else as lines."""
    written = []
    for key, value in data.items():
        word = _flow(key)
        behind = _behind(value, indent, len(word))
        written += (" " * indent + f"{word}:{_spaced(behind)}").split("\n")
    return written


def _behind(value: Any, indent: int, before: int) -> str:
    flow = _flow(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    single = not any(isinstance(one, dict | list) and one for one in inner)
    if not isinstance(value, dict | list) or (single and indent + before + 2 + len(flow) <= _WIDTH):
        return flow
    if isinstance(value, dict):
        return "\n" + "\n".join(lines(value, indent + 2))
    return "".join(f"\n{' ' * (indent + 2)}- {_flow(one)}" for one in value)


class _Dumper(yaml.SafeDumper):
    """Writes every string on one line, as everything here counts on."""


def _string(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style='"' if "\n" in text else None
    )


_Dumper.add_representer(str, _string)


def _flow(value: Any) -> str:
    flow: str = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=True,
        width=1_000_000,
    )
    return flow.removesuffix("...\n").strip()


def _spaced(written: str) -> str:
    return written if written.startswith("\n") else f" {written}"


def _end(node: yaml.Node) -> int:
    """Where a node's text ends; that of a group of lines is where its last value does."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.index)


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end

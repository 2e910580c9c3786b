"""Turns documentation (reST docstrings, help topics) into paragraphs of plain English."""

from __future__ import annotations

import inspect
import re

_BULLET = re.compile(r"^(?:[-*+•]|\(?\d{1,2}[.)]|\(?[a-z]\))\s+")
_RULE = re.compile(r"^[^\w\s]{3,}$")
_TABLE = re.compile(r"^[=-]{2,}(?:\s+[=-]{2,})+$")
_DRAWN = re.compile(r"([-=*_+~#])\1{4}")
_ROLE = re.compile(r":[a-z:]+:`~?([^`<]+?)(?:\s*<[^`>]*>)?`")
_DIRECTIVE = re.compile(r"^\.\.\s")
_CODE = re.compile(
    r"^(>>>|\.\.\.( |$)|[$%#] |[|+]\S*[-=|+]|import \w+$|from \S+ import |@\w|(def|class) \w+.*:$)"
    r"|::=|\S+ = \S+\(|^\S+ += "
)
_WORD = re.compile(r"^[\"'(]*[A-Za-z]+(?:['’-][A-Za-z]+)*[.,;:!?\"')]*$")


def paragraphs(text: str) -> list[str]:
    """The prose of `text`, one line per paragraph or list item; the rest is left out.

    Left out: doctests and other code, tables, grammar rules, headings and their underlines,
    directives, and fragments of fewer than three words.
    """
    found = []
    for block in re.split(r"\n[ \t]*\n", inspect.cleandoc(text)):
        for lines in _items(block.splitlines()):
            paragraph = _plain(" ".join(lines))
            if _is_prose(paragraph):
                found.append(paragraph)
    return found


def _items(block: list[str]) -> list[list[str]]:
    """The block's text lines, split where a list item begins."""
    items: list[list[str]] = [[]]
    for line in (line.strip() for line in block):
        if line.startswith(">>>") or _TABLE.match(line):
            # What follows is a program and what it prints, or the cells of a table.
            break
        if _RULE.match(line):
            # The line before an underline is a heading.
            items[-1] = items[-1][:-1]
        elif _DIRECTIVE.match(line) or _CODE.search(line):
            items.append([])
        elif bullet := _BULLET.match(line):
            items.append([line[bullet.end() :]])
        else:
            items[-1].append(line)
    return [item for item in items if item]


def _plain(text: str) -> str:
    """Without reST's inline markup, and with single spaces."""
    text = _ROLE.sub(r"\1", text).replace("``", "").replace("`", "")
    text = re.sub(r"(?<!\w)(\*\*?|_)(\w[^*_]*?)\1(?!\w)", r"\2", text)
    return re.sub(r"::$", ":", " ".join(text.split()))


def _is_prose(paragraph: str) -> bool:
    if _DRAWN.search(paragraph):
        return False
    pieces = paragraph.split()
    words = sum(bool(_WORD.match(piece)) for piece in pieces)
    return words >= 3 and words >= 0.6 * len(pieces)

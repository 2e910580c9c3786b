"""The builtin corpus: Python's help topics and the docstrings of its standard library.

The sources are parsed and never imported, so that building the corpus runs none of them.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from entromask.errors import InputError
from entromask.settings import settings
from entromask.text.cache import write_once
from entromask.text.prose import paragraphs

# Raise it when the documents change, so that old caches are not used.
_VERSION = 1
# Tests, applications, other people's packages, and what is no Python source.
_SKIPPED = frozenset(
    {"test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo", "ensurepip"}
    | {"pydoc_data", "site-packages", "dist-packages", "lib-dynload", "__pycache__"}
)
_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def builtin_documents() -> Iterator[str]:
    """The documents: first one per help topic, then one per module, in the order of their names.

    A document is a few paragraphs, one per line; no paragraph occurs twice in the corpus.

    Raises:
        InputError: this Python ships without the sources of its standard library.
    """
    yield from json.loads(_file().read_text(encoding="utf-8"))


def _file() -> Path:
    library = Path(sysconfig.get_path("stdlib"))
    # Where, which build, and how it is read: all that the documents depend on.
    key = hashlib.sha256(f"{_VERSION} {library} {sys.version}".encode()).hexdigest()
    file = settings().cache / "builtin" / f"{key[:16]}.json"
    if not file.exists():
        documents = _collect(library)
        if len(documents) < 2:
            raise InputError(
                f"the builtin corpus is empty: {library} holds no documented Python sources",
                "name a text of your own: corpus: {source: local, path: FILE}",
            )
        write_once(file, json.dumps(documents, ensure_ascii=False, indent=0).encode())
    return file


def _collect(library: Path) -> list[str]:
    """Every document of the library at `library`."""
    seen: set[str] = set()
    documents = []
    for texts in _sources(library):
        fresh = []
        for text in texts:
            for paragraph in paragraphs(text):
                if paragraph not in seen:
                    seen.add(paragraph)
                    fresh.append(paragraph)
        if fresh:
            documents.append("\n".join(fresh))
    return documents


def _sources(library: Path) -> Iterator[list[str]]:
    """The raw texts of each topic, then of each module."""
    topics = library / "pydoc_data" / "topics.py"
    if topics.exists():
        yield from ([text] for _, text in sorted(_topics(topics).items()))
    for file in sorted(library.rglob("*.py"), key=lambda file: file.relative_to(library).parts):
        parts = file.relative_to(library).parts
        if not _SKIPPED.intersection(parts) and not parts[0].startswith("config-"):
            yield _docstrings(file)


def _parse(file: Path) -> ast.Module:
    with warnings.catch_warnings():
        # An invalid escape in somebody's docstring is no concern of the user's.
        warnings.simplefilter("ignore")
        try:
            return ast.parse(file.read_bytes())
        except (SyntaxError, ValueError, OSError):
            return ast.Module(body=[], type_ignores=[])


def _topics(file: Path) -> dict[str, str]:
    for node in _parse(file).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            topics: dict[str, str] = ast.literal_eval(node.value)
            return topics
    return {}


def _docstrings(file: Path) -> list[str]:
    """The docstrings of a module, in the order of the source."""
    found = []
    stack: list[ast.AST] = [_parse(file)]
    while stack:
        node = stack.pop()
        if isinstance(node, _Documented):
            text = ast.get_docstring(node)
            if text:
                found.append(text)
        stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return found

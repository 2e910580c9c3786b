"""The documentation and the code agree: references, commands, options, files."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from entromask.cli import app
from entromask.settings import Settings
from entromask.spec import RunSpec

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


def generators() -> dict[str, Callable[[], str]]:
    place = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    found: dict[str, Callable[[], str]] = module.FILES
    return found


GENERATORS = generators()


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == GENERATORS[name](), "run `make docs`"


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    for key, field in Settings.model_fields.items():
        assert f"`ENTROMASK_{key.upper()}`" in page
        assert field.description


def test_every_key_of_a_spec_is_documented() -> None:
    page = (ROOT / "docs" / "runspec.md").read_text(encoding="utf-8")
    missing = [key for key in _keys(RunSpec().resolved().data()) if f"| `{key}` |" not in page]
    assert not missing


def test_every_key_of_the_schema_says_what_it_means() -> None:
    parts = RunSpec.model_json_schema()
    silent = [
        f"{name}.{key}"
        for name, part in [("RunSpec", parts), *parts["$defs"].items()]
        for key, field in part["properties"].items()
        if not field.get("description")
    ]
    assert not silent


def _keys(data: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in data.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found += _keys(value, f"{prefix}{key}.")
    return found


def commands(path: Path) -> list[list[str]]:
    """The `entromask ...` commands of a page or of an example's comments, as words."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        text = "\n".join(line[1:].strip() for line in text.splitlines() if line.startswith("#"))
    text = re.sub(r"\\\n\s*", " ", text)
    fenced = re.findall(r"^\s*(?:\$ )?((?:[A-Z_]+=\S+ )*entromask .*)$", text, re.MULTILINE)
    inline = re.findall(r"`(entromask [^`]+)`", text)
    return [shlex.split(line.partition("#")[0]) for line in fenced + inline]


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: path.name)
def test_every_command_that_is_shown_exists_with_its_options(path: Path) -> None:
    group: Any = typer.main.get_command(app)
    for words in commands(path):
        words = words[words.index("entromask") + 1 :]
        if words[0].startswith("-"):
            assert words[0] in ("--help", "-h", "--version")
            continue
        assert words[0] in group.commands, words
        command = group.commands[words[0]]
        if len(words) > 1 and words[1] in getattr(command, "commands", ()):
            command = command.commands[words[1]]
        options = {o for p in command.params for o in p.opts} | {"--help"}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= options, words


def test_the_readme_shows_commands() -> None:
    shown = {words[1] for words in commands(ROOT / "README.md") if words[0] == "entromask"}
    assert {"run", "compare", "doctor", "strategies"} <= shown


@pytest.mark.parametrize("path", [*PAGES, *EXAMPLES], ids=lambda path: path.name)
def test_what_is_set_in_a_shown_command_is_a_key_of_the_spec(path: Path) -> None:
    for words in commands(path):
        overrides = [after for word, after in pairwise(words) if word == "--set"]
        if "run" in words and overrides:
            spec = words[words.index("run") + 1]
            place = ROOT / spec if spec.startswith("examples/") else ROOT / "examples/quick.yaml"
            assert RunSpec.load(place, overrides)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_link_to_a_file_of_the_project_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_targets_that_the_pages_name_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = set(re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE))
    assert {"demo", "test", "lint"} <= shown
    assert shown <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_the_python_examples_of_the_readme_import_what_exists() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        compile(block, "README.md", "exec")
        for line in re.findall(r"^from entromask\S* import .*$", block, re.MULTILINE):
            exec(line, {})


def test_every_check_of_the_page_on_correctness_can_be_repeated() -> None:
    page = (ROOT / "docs" / "correctness.md").read_text(encoding="utf-8")
    commands = [shlex.split(command) for command in re.findall(r"`(pytest [^`]+)`", page)]
    assert len(commands) > 20
    for command in commands:
        files = [ROOT / part for part in command if part.endswith(".py")]
        assert files
        assert all(file.is_file() for file in files), command
        if "-k" in command:
            words = command[command.index("-k") + 1].split(" or ")
            tests = re.findall(r"def (test_\w+)", "".join(file.read_text() for file in files))
            assert all(any(word in test for test in tests) for word in words), command

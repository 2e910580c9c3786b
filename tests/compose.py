"""Reads docker-compose.yml and what belongs to it, for the tests of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
BUILT = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILES = sorted({service["build"]["dockerfile"] for service in BUILT.values()})

# What .env.example leaves empty.
PASSWORDS = {"POSTGRES_PASSWORD": "0123abcd", "REDIS_PASSWORD": "4567cdef"}

_INNERMOST = re.compile(r"\$\{(?P<name>\w+)(?P<how>:[-+?])?(?P<rest>[^${}]*)\}")


def example() -> tuple[dict[str, str], set[str]]:
    """.env.example: what it sets, and the names of all variables that it describes."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    lines = re.findall(r"^(#?)([A-Z_]+)=(.*)$", text, re.MULTILINE)
    return {n: value for mark, n, value in lines if not mark}, {n for _, n, _ in lines}


def interpolate(text: str, variables: dict[str, str]) -> str:
    """The text with its variables filled in, by the rules of Compose.

    Raises:
        KeyError: a required variable is missing or empty.
    """

    def value(match: re.Match[str]) -> str:
        found, rest = variables.get(match["name"], ""), match["rest"]
        if match["how"] == ":?" and not found:
            raise KeyError(match["name"])
        if match["how"] == ":+":
            return rest if found else ""
        return found or (rest if match["how"] == ":-" else "")

    while (after := _INNERMOST.sub(value, text)) != text:
        text = after
    return text


def started(**variables: str) -> dict[str, dict[str, Any]]:
    """The services that `docker compose up` starts after `cp .env.example .env`, filled in."""
    given = example()[0] | PASSWORDS | variables
    services: dict[str, dict[str, Any]] = _filled(SERVICES, given)
    active = set(given["COMPOSE_PROFILES"].split(","))
    return {
        name: service
        for name, service in services.items()
        if "profiles" not in service or active & set(service["profiles"])
    }


def _filled(data: Any, variables: dict[str, str]) -> Any:
    if isinstance(data, dict):
        return {key: _filled(value, variables) for key, value in data.items()}
    if isinstance(data, list):
        return [_filled(value, variables) for value in data]
    return interpolate(data, variables) if isinstance(data, str) else data


@dataclass
class Stage:
    """A stage of a Dockerfile: what it starts from, its name, its instructions."""

    base: str
    name: str
    instructions: list[list[str]] = field(default_factory=list)

    def of(self, instruction: str) -> list[list[str]]:
        return [words[1:] for words in self.instructions if words[0] == instruction]


def stages(dockerfile: str) -> list[Stage]:
    text = (ROOT / dockerfile).read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    found: list[Stage] = []
    for words in (line.split() for line in text.splitlines() if line.strip()):
        if words[0] == "FROM":
            found.append(Stage(words[1], words[3] if len(words) > 2 else ""))
        elif found:
            found[-1].instructions.append(words)
    return found


def copied(dockerfile: str) -> list[str]:
    """What a Dockerfile copies out of the build context."""
    every = [words for stage in stages(dockerfile) for words in stage.of("COPY")]
    return [source for words in every if not words[0].startswith("--from") for source in words[:-1]]


def sent(path: str) -> bool:
    """Whether .dockerignore lets a path into the build: the last line that matches decides."""
    parts = Path(path).parts
    above = ["/".join(parts[: n + 1]) for n in range(len(parts))]
    result = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.lstrip("!")
        if not pattern or pattern.startswith("#"):
            continue
        anywhere = pattern.removeprefix("**/")
        names = parts if anywhere != pattern else above
        if any(fnmatch(name, anywhere) for name in names):
            result = line.startswith("!")
    return result

"""What is wrong with a spec, in words: for each problem the key it is about, and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from entromask.errors import InputError

if TYPE_CHECKING:
    from pydantic import ValidationError

HINT = "`entromask schema` prints every key with its allowed values"

Location = tuple[str | int, ...]


class Problem(NamedTuple):
    """One thing that is wrong.

    `location` are the keys from the spec's root, as the user wrote them, numbers for places in a
    list; empty: the whole spec.
    """

    location: Location
    sentence: str


class SpecError(InputError):
    """A spec that cannot be used; `problems` says for each key what is wrong with it."""

    def __init__(self, message: str, hint: str, problems: Sequence[Problem]) -> None:
        super().__init__(message, hint)
        self.problems = list(problems)

    @classmethod
    def at(cls, location: Location, message: str, hint: str) -> SpecError:
        """One problem, whose sentence is the whole message."""
        return cls(message, hint, [Problem(location, message)])


def problems(error: ValidationError) -> list[Problem]:
    """Each problem that pydantic found, in the order of the spec's keys."""
    found = []
    for raw in _raw(error):
        location = _location(raw["loc"])
        if raw["type"] == "unknown_key":
            # pydantic blames the group of keys; the key itself is what a user looks for.
            location = (*location, raw["ctx"]["key"])
        found.append(Problem(location, _sentence(raw)))
    return found


def describe(error: ValidationError) -> str:
    """The problems of a spec in one line: where, what, and what is allowed."""
    lines = []
    for raw in _raw(error):
        where = ".".join(map(str, _location(raw["loc"])))
        lines.append(f"{where}: {_sentence(raw)}" if where else _sentence(raw))
    return "; ".join(lines)


def _raw(error: ValidationError) -> list[dict[str, Any]]:
    return [dict(raw) for raw in error.errors(include_url=False)]


def _sentence(raw: dict[str, Any]) -> str:
    kind, value = raw["type"], raw.get("input")
    if kind == "missing":
        return "is required"
    if kind == "union_tag_not_found":
        return "needs the key 'source'"
    if kind == "union_tag_invalid":
        allowed = raw["ctx"]["expected_tags"].replace("'", "")
        return f"source {raw['ctx']['tag']!r} is unknown; allowed: {allowed}"
    what: str = raw["msg"][:1].lower() + raw["msg"][1:]
    if isinstance(value, str | int | float | bool) and "unknown" not in kind:
        what += f", not {value!r}"
    return what


# Keys that hold one of several kinds of value: pydantic names the kind after them.
_UNIONS = {"corpus", "tokenizer", "init", "rate", "warmup", "local"}


def _location(location: Location) -> Location:
    """A location in the user's words: without the names of union members."""
    place: list[str | int] = []
    named = False  # whether the last key's kind has been passed over
    for part in location:
        if place and place[-1] in _UNIONS and not named:
            named = True
        else:
            place.append(part)
            named = False
    return tuple(place)

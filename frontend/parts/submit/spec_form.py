"""Fields of a form over the draft: each shows its key's value, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import streamlit as st
from pydantic import ValidationError

from entromask.resources import ProblemEntry
from entromask.spec import Masking
from frontend.parts.submit.catalogue import word_of
from frontend.parts.submit.draft import Draft, draft
from frontend.parts.submit.spec_fields import Field, meant, shown
from frontend.parts.submit.spec_text import Path, get
from frontend.parts.submit.spec_text import same as same_data
from frontend.parts.value_fields import select_field, text_field
from frontend.session import literal

PAUSE = "400ms"
# The choice of a drop-down that leaves its key out of the spec.
UNSET = ""
# Its words while another one is chosen: which value it stands for can depend on other keys.
_DEFAULT = "default"


def path_of(pointer: str) -> Path | None:
    """`/spec/masking/rate` is `("masking", "rate")`; None where it is no place in the spec."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    if parts[:2] != ["", "spec"]:
        return None
    return tuple(int(part) if part.isdigit() else part for part in parts[2:])


@dataclass
class Form:
    """The draft, what the service says about it, and which of that has been said.

    Args:
        resolved: the spec with its defaults; only those of the masking where it was refused.
        problems: what is wrong, with the path of its key.
    """

    draft: Draft
    resolved: Mapping[str, Any] = field(default_factory=dict)
    problems: list[tuple[Path, str]] = field(default_factory=list)
    _said: set[int] = field(default_factory=set)

    @classmethod
    def of(cls, draft: Draft, resolved: Mapping[str, Any], errors: Sequence[ProblemEntry]) -> Form:
        found = [(path_of(one.pointer) or (), one.detail) for one in errors]
        return cls(draft, resolved or _masking(draft.data), found)

    def count(self, paths: Sequence[Path]) -> int:
        """How many problems there are under some keys."""
        return sum(any(_within(at, path) for path in paths) for at, _ in self.problems)

    def say(self, *paths: Path, inside: bool = True) -> None:
        """Shows the problems of keys here, but for those that stand beside a field already.

        Args:
            inside: also those of the keys in them.
        """
        for number, (at, sentence) in enumerate(self.problems):
            here = any(_within(at, path) if inside else at == path for path in paths)
            if here and number not in self._said:
                self._said.add(number)
                problem(sentence)

    def text(
        self, of: Field, label: str | None = None, *, placeholder: str = "", disabled: bool = False
    ) -> None:
        """A field that holds what YAML would, taken over while it is typed."""

        def same(typed: Any, value: str) -> bool:
            return same_data(meant(typed or "", of.kind), meant(value, of.kind))

        text_field(
            of.key,
            label or of.label,
            shown(self.draft.get(*of.path), of.kind),
            lambda typed: _set(of.path, meant(typed or "", of.kind)),
            same=same,
            placeholder=placeholder or self.default(of),
            help=_help(of),
            live=PAUSE,
            disabled=disabled,
        )
        self.say(of.path)

    def choice(
        self,
        of: Field,
        label: str | None = None,
        *,
        options: Sequence[Any] | None = None,
        words: Callable[[str], str] = str,
        take: Callable[[str | None], None] | None = None,
        required: bool = False,
        none: str = "not set",
        disabled: bool = False,
    ) -> None:
        """A choice between values; the first one leaves the key out: the default holds.

        Args:
            words: how an option is shown.
            required: there is no way back to the default.
            none: what it is to choose nothing, where there is no default.
            take: does more than set the key; it is given the chosen option as text.
        """
        value = self.draft.get(*of.path)
        names = [shown(one) for one in (of.options if options is None else options)]
        self.select(
            of.key,
            label or of.label,
            names,
            None if value is None else shown(value) or "''",
            take or partial(_take_choice, of),
            words=words,
            none=self.default(of, words) or none if value is None else _DEFAULT,
            required=required,
            help=_help(of),
            disabled=disabled,
        )
        self.say(of.path)

    def model(
        self,
        path: Path,
        names: Mapping[str, str],
        label: str,
        *,
        none: str,
        help: str,
        take: Callable[[str | None], None],
    ) -> None:
        """A choice of a model; one that is not in the list may be typed.

        Args:
            names: words for a person, by the word for a reference.
            none: what it is to choose none.
        """
        value = self.draft.get(*path)
        chosen = value if isinstance(value, str) and value in names else None
        chosen = word_of(value) if isinstance(value, Mapping) else chosen
        self.select(
            "spec." + ".".join(map(str, path)),
            label,
            list(names),
            chosen,
            take,
            words=lambda word: names.get(word, word),
            none=none,
            help=help,
            accept_new_options=True,
        )
        self.say(path)

    def select(
        self,
        name: str,
        label: str,
        names: Sequence[str],
        chosen: str | None,
        take: Callable[[str | None], None],
        *,
        words: Callable[[str], str] = str,
        none: str,
        required: bool = False,
        **options: Any,
    ) -> None:
        """A drop-down whose first choice is none; a required one has that only while it is so.

        Args:
            chosen: shown also where it is none of the names.
            take: is given the chosen name, or None.
            none: the words for the first choice.
        """
        value = UNSET if chosen is None else chosen
        first = [] if required and chosen is not None else [UNSET]
        last = [] if value in (UNSET, *names) else [value]
        select_field(
            name,
            label,
            [*first, *names, *last],
            value,
            lambda name: take(None if name in (UNSET, None) else name),
            words=lambda name: none if name == UNSET else words(name),
            **options,
        )

    def default(self, of: Field, words: Callable[[str], str] = str) -> str:
        """What holds where the key is not there, in grey."""
        known = of.path[0] in self.resolved
        value = get(self.resolved, of.path) if known else of.default
        return "" if value is None else f"{words(shown(value, of.kind))} (default)"


def problem(sentence: str) -> None:
    """A sentence on what is wrong, where it is wrong."""
    st.markdown(f":small[:red[{literal(sentence[:1].upper() + sentence[1:])}]]")


def _masking(data: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults that depend on the preset, where the spec as a whole is refused."""
    try:
        masking = Masking.model_validate(data.get("masking") or {}).resolved()
    except ValidationError:
        return {}
    return {"masking": masking.model_dump(mode="json")}


def _help(of: Field) -> str | None:
    return literal(of.help.replace("`", "")) or None


def _within(path: Path, group: Path) -> bool:
    return path[: len(group)] == group


def _take_choice(of: Field, chosen: str | None) -> None:
    values = {shown(option): option for option in of.options}
    _set(of.path, None if chosen is None else values.get(chosen, chosen))


def _set(path: Path, value: Any) -> None:
    """Distillation that is left without a key has its defaults; without the group it is off."""
    group = draft().get("distillation")
    last = isinstance(group, dict) and path == ("distillation", *group)
    if value is None and last:
        draft().set(("distillation",), {})
    else:
        draft().set(path, value)

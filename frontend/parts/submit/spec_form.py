"""Fields of a form over the draft: each shows its key's value, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st
from pydantic import ValidationError

from entromask.resources import ProblemEntry
from entromask.spec import Masking
from frontend.parts.submit.catalogue import word_of
from frontend.parts.submit.draft import Draft, draft
from frontend.parts.submit.spec_fields import Field, meant, shown
from frontend.parts.submit.spec_text import Path, get, same
from frontend.session import literal

_PAUSE = "400ms"


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
        value = self.draft.get(*of.path)
        if not same(meant(st.session_state.get(of.key) or "", of.kind), value):
            st.session_state[of.key] = shown(value, of.kind)
        elif of.key not in st.session_state:
            st.session_state[of.key] = ""
        st.text_input(
            label or of.label,
            key=of.key,
            placeholder=placeholder or self.default(of),
            help=_help(of),
            live=_PAUSE,
            on_change=_take_text,
            args=(of,),
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
        """A choice between values; without one the default holds.

        Args:
            words: how an option is shown.
            required: there is no way back to the default.
            none: what it is to choose nothing, where there is no default.
            take: does more than set the key; it is given the chosen option as text.
        """
        value = self.draft.get(*of.path)
        names = [shown(one) for one in (of.options if options is None else options)]
        chosen = None if value is None else shown(value)
        if chosen is not None and chosen not in names:
            names.append(chosen)
        if st.session_state.get(of.key, ...) != chosen:
            st.session_state[of.key] = chosen
        st.selectbox(
            label or of.label,
            names,
            index=0 if chosen is not None and required else None,
            key=of.key,
            format_func=words,
            placeholder=self.default(of, words) or none,
            help=_help(of),
            on_change=_take_choice,
            args=(of, take),
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
        key = "spec." + ".".join(map(str, path))
        value = self.draft.get(*path)
        chosen = value if isinstance(value, str) and value in names else None
        chosen = word_of(value) if isinstance(value, Mapping) else chosen
        options = list(names) + ([chosen] if chosen and chosen not in names else [])
        if st.session_state.get(key, ...) != chosen:
            st.session_state[key] = chosen
        st.selectbox(
            label,
            options,
            index=None,
            key=key,
            format_func=lambda word: names.get(word, word),
            accept_new_options=True,
            placeholder=none,
            help=help,
            on_change=lambda: take(st.session_state[key]),
        )
        self.say(path)

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


def _take_text(of: Field) -> None:
    _set(of.path, meant(str(st.session_state[of.key] or ""), of.kind))


def _take_choice(of: Field, take: Callable[[str | None], None] | None) -> None:
    chosen: str | None = st.session_state[of.key]
    if take is not None:
        take(chosen)
        return
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

"""What models say of a text: asked of the API once, then remembered by the browser session."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

import streamlit as st

from entromask.client import ApiError, UnreachableError
from entromask.errors import EntromaskError
from frontend.session import client

# A token and its probability.
Guess = tuple[str, float]

_KEY, _LATE = "entropy_previews", "entropy_previews_late"
# Tokens that a session remembers, at about 2 kB each, and answers.
_MOST_TOKENS, _MOST_ANSWERS = 40_000, 64
# Answers of the service as a whole; any other is about one model.
_OF_THE_SERVICE = (401, 429, 502, 503)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the text; the API's fields. Entropies and surprisal in nats, None at the frame."""

    position: int
    token: str
    start: int
    end: int
    special: bool
    masked: bool
    entropy: float | None
    entropy_masked: float | None
    surprisal: float | None
    top: tuple[Guess, ...]
    top_masked: tuple[Guess, ...]

    @property
    def frame(self) -> bool:
        """Whether it is a [CLS] or a [SEP] around the text: nothing is predicted there."""
        return self.entropy is None


@dataclass(frozen=True, slots=True)
class Preview:
    """The answer to POST /v1/previews; `presets` and `agreement` as the API sends them."""

    max_entropy: float
    tokens: tuple[Token, ...]
    presets: Sequence[dict[str, Any]]
    agreement: Mapping[str, Any]
    warnings: Sequence[str]


def ask(
    reference: Mapping[str, Any],
    text: str,
    *,
    presets: Sequence[str] = (),
    rate: float | None = None,
    seed: int = 0,
    masked: Sequence[int] = (),
    progress: float | None = None,
) -> Preview:
    """What a model says of a text; the same question is sent once in a session.

    Args:
        masked: positions of tokens to hide.
        progress: share of a run that is done. None: that of the checkpoint, else 0.

    Raises:
        EntromaskError: the service refused, or does not answer. Only that it took too long is
            remembered, until `ask_again`: every further look at the page would wait as long.
    """
    known: OrderedDict[str, Preview] = st.session_state.setdefault(_KEY, OrderedDict())
    key = json.dumps([dict(reference), text, list(presets), rate, seed, list(masked), progress])
    if key not in known:
        late: dict[str, ApiError] = st.session_state.setdefault(_LATE, {})
        if key in late:
            raise late[key]
        try:
            answer = client().preview(
                text,
                reference,
                presets=presets,
                rate=rate,
                seed=seed,
                masked=masked,
                progress=progress,
            )
        except ApiError as error:
            if took_too_long(error):
                late[key] = error
            raise
        known[key] = parse(answer)
        _forget(known)
    known.move_to_end(key)
    return known[key]


def took_too_long(error: EntromaskError) -> bool:
    return isinstance(error, ApiError) and error.status == 504


def ask_again() -> None:
    """Lets the questions that took too long be sent once more."""
    st.session_state.pop(_LATE, None)


def _forget(known: OrderedDict[str, Preview]) -> None:
    """Drops the oldest answers beyond what a session may hold; the newest one always stays."""
    while len(known) > 1 and (
        len(known) > _MOST_ANSWERS
        or sum(len(preview.tokens) for preview in known.values()) > _MOST_TOKENS
    ):
        known.popitem(last=False)


def about_one_model(error: EntromaskError) -> bool:
    """Whether the others may still answer: the service is there, and one model failed."""
    if isinstance(error, UnreachableError):
        return False
    return not (isinstance(error, ApiError) and error.status in _OF_THE_SERVICE)


def parse(answer: Mapping[str, Any]) -> Preview:
    """The answer in a small form: a long text has thousands of tokens."""
    return Preview(
        max_entropy=answer["max_entropy"],
        tokens=tuple(_token(token) for token in answer["tokens"]),
        presets=answer["presets"],
        agreement=_agreement(answer.get("agreement")),
        warnings=answer.get("warnings", []),
    )


def _agreement(found: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The agreement of the presets; a service of an earlier version sends another measure."""
    return found if found and "overlap" in found else {"presets": [], "overlap": [], "chance": []}


def _token(token: Mapping[str, Any]) -> Token:
    return Token(
        position=token["position"],
        token=intern(token["token"]),
        start=token["start"],
        end=token["end"],
        special=token["special"],
        masked=token["masked"],
        entropy=token["entropy"],
        entropy_masked=token["entropy_masked"],
        surprisal=token["surprisal"],
        top=_guesses(token["top"]),
        top_masked=_guesses(token["top_masked"]),
    )


def _guesses(entries: Iterable[Mapping[str, Any]]) -> tuple[Guess, ...]:
    return tuple((intern(entry["token"]), entry["probability"]) for entry in entries)

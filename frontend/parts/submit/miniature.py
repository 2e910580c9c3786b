"""A small picture of a preset's masks on a sentence: it comes when it is ready."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from html import escape
from threading import Thread
from typing import Any

import streamlit as st

from entromask.errors import EntromaskError
from frontend.parts.words import percent
from frontend.session import another_client, literal

SENTENCE = (
    "The museum bought the old manuscript because its author had written the first "
    "dictionary of the language."
)
_KEPT = 40
# A model that is loaded answers faster than this; a picture that is there at once does not flicker.
_AT_ONCE, _EVERY = 0.3, 0.7
# One scale for all presets, so that two pictures can be compared: deepest from this on.
_DEEPEST = 0.5
# A failure is tried again after a while.
_FORGIVE = 15.0


@dataclass(frozen=True)
class Ask:
    """What the picture is of."""

    text: str
    model: Mapping[str, Any]
    preset: str
    rate: float | None = None

    @property
    def key(self) -> str:
        return json.dumps([self.text, dict(self.model), self.preset, self.rate], sort_keys=True)


@dataclass
class _Answer:
    future: Future[dict[str, Any]] = field(default_factory=Future)
    at: float = field(default_factory=time.monotonic)

    def failed(self) -> bool:
        return self.future.done() and self.future.exception() is not None


def miniature(ask: Ask, scored_by: str) -> None:
    """Shows the picture, or that it is on its way.

    Args:
        scored_by: a sentence on whose entropy it is.
    """
    answer = _answer(ask)
    wait([answer.future], timeout=_AT_ONCE)
    waiting = not answer.future.done()

    @st.fragment(run_every=_EVERY if waiting else None, key="miniature")
    def shown() -> None:
        if not answer.future.done():
            st.caption("The picture of the masks is being made.")
            return
        if waiting:
            st.rerun()
        failure = answer.future.exception()
        if failure is None:
            _draw(ask.text, answer.future.result(), scored_by)
        else:
            why = failure.message if isinstance(failure, EntromaskError) else "it went wrong"
            st.caption(literal(f"There is no picture of the masks now: {why}."))

    shown()


def _answer(ask: Ask) -> _Answer:
    """The answer to come; asked for once in a session."""
    known: OrderedDict[str, _Answer] = st.session_state.setdefault("miniatures", OrderedDict())
    old = known.get(ask.key)
    if old is not None and not (old.failed() and time.monotonic() - old.at > _FORGIVE):
        return old
    client = another_client()
    known[ask.key] = answer = _Answer()
    while len(known) > _KEPT:
        known.popitem(last=False)

    def call() -> dict[str, Any]:
        return client.preview(ask.text, ask.model, presets=[ask.preset], rate=ask.rate)

    Thread(target=_fill, args=(answer.future, call), daemon=True).start()
    return answer


def _fill(future: Future[dict[str, Any]], call: Callable[[], dict[str, Any]]) -> None:
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)


def _draw(text: str, preview: Mapping[str, Any], scored_by: str) -> None:
    entry = preview["presets"][0]
    if entry.get("error"):
        st.caption(literal(f"There is no picture of the masks: {entry['error']}."))
        return
    st.html(picture(text, preview["tokens"], entry["positions"], entry["probabilities"]))
    st.caption(literal(f"{legend(preview['tokens'], entry)} {scored_by}"))


def legend(tokens: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]) -> str:
    """What the picture shows, in words."""
    maskable = sum(not token["special"] for token in tokens)
    told = f"Boxed: the {len(entry['positions'])} of {maskable} tokens that are masked"
    if entry["select"] == "sample":
        return f"{told} in one draw; the deeper the colour, the likelier in any draw."
    return f"{told}, the same every time."


def picture(
    text: str,
    tokens: Sequence[Mapping[str, Any]],
    positions: Sequence[int],
    probabilities: Sequence[float],
) -> str:
    """The sentence as HTML: each token in the depth of its probability, the masked ones boxed."""
    masked = set(positions)
    parts, done = [], 0
    for token in tokens:
        start, end = token["start"], token["end"]
        # The frame has no text, and the bytes of an emoji share theirs.
        if end <= start or start < done:
            continue
        share = probabilities[token["position"]]
        tag = "mark" if token["position"] in masked else "span"
        depth = min(100, round(100 * share / _DEEPEST))
        title = f"{token['token']}: masked in {percent(share)} of the draws"
        parts.append(escape(text[done:start]))
        parts.append(
            f'<{tag} style="--depth:{depth}%" title="{escape(title)}">'
            f"{escape(text[start:end])}</{tag}>"
        )
        done = end
    parts.append(escape(text[done:]))
    return f'<p class="em-masks" dir="auto">{"".join(parts)}</p>'

"""Looks into the masks: how unsure models are at each token of a text, and what that would hide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from entromask.client import ApiError
from entromask.errors import EntromaskError
from entromask.resources import Strategy
from frontend.parts.entropy.agreement import agreement
from frontend.parts.entropy.mask_effect import mask_effect
from frontend.parts.entropy.mask_rows import mask_rows
from frontend.parts.entropy.model_choice import Choice, choose
from frontend.parts.entropy.previews import Preview, about_one_model, ask, ask_again, took_too_long
from frontend.parts.entropy.spans import Span, hidden
from frontend.parts.entropy.token_map import Pane, selection, token_map
from frontend.parts.known import known
from frontend.parts.value_fields import text_field
from frontend.session import client, guarded, literal

SAMPLE = (
    "When the file does not exist, the function returns an empty list, and the caller decides "
    "what happens next."
)
_PRESETS = ("random", "self-entropy-sample", "teacher-masked-entropy-sample")
# What the API takes, and what an address can hold.
_LONGEST, _LONGEST_IN_URL = 100_000, 1000
_TEXT, _SEEN = "entropy_text", "entropy_text_of_url"
_AGAIN = 3.0
_OWN = "the checkpoint's own"


def text_input() -> str:
    """The text, from the URL at first and written there while it is short."""
    asked = st.query_params.get("text")
    if asked is not None and asked != st.session_state.get(_SEEN):
        st.session_state[_TEXT] = asked[:_LONGEST]
    text: str = st.session_state.setdefault(_TEXT, SAMPLE)
    text_field(
        "text",
        "Text",
        text,
        _take_text,
        lines=True,
        height=100,
        max_chars=_LONGEST,
        help="at most 4,096 tokens; a text longer than a model's rows is read in windows",
    )
    if text != SAMPLE and len(text) <= _LONGEST_IN_URL:
        st.query_params["text"] = text
    else:
        st.query_params.pop("text", None)
    st.session_state[_SEEN] = st.query_params.get("text")
    return text


def _take_text(typed: str | None) -> None:
    st.session_state[_TEXT] = typed or ""


@dataclass(frozen=True)
class Masks:
    """What is asked about presets.

    `rate` None: each preset's own. `progress`, the share of a run that is done, None: that of each
    checkpoint, and the start for any other model.
    """

    presets: list[str]
    rate: float | None
    seed: int
    progress: float | None


def controls() -> Masks:
    """Shows the choice of presets, and of what else their masks depend on."""
    st.subheader("What presets would mask", anchor=False)
    strategies = _strategies()
    names = [one.name for one in strategies]
    left, middle, right = st.columns([4, 1, 1])
    presets = left.multiselect(
        "Presets",
        names,
        default=[name for name in _PRESETS if name in names],
        key="presets",
        bind="query-params",
        select_all=False,
        wrap=True,
    )
    rate = middle.number_input(
        "Masking rate",
        0.01,
        0.99,
        None,
        0.05,
        key="rate",
        bind="query-params",
        placeholder="each preset's own",
    )
    seed = right.number_input("Seed", 0, 2**32 - 1, 0, key="seed", bind="query-params")
    scheduled = [one.name for one in strategies if isinstance(one.parts.get("rate"), dict)]
    changing = [name for name in presets if name in scheduled]
    progress = _progress(changing) if changing and rate is None else None
    return Masks(presets, rate, seed, progress)


def _progress(changing: Sequence[str]) -> float | None:
    chosen = st.select_slider(
        "Share of the run that is done",
        [_OWN, *(f"{share} %" for share in range(0, 101, 5))],
        key="progress",
        bind="query-params",
        help=f"the rate of {', '.join(changing)} changes over a run; a checkpoint's own share is "
        "how far its run was, any other model's is the start",
    )
    return None if chosen == _OWN else int(chosen.removesuffix(" %")) / 100


def _strategies() -> list[Strategy]:
    return known("strategies", None, lambda: client().strategies())


def previews(text: str, chosen: Sequence[Choice], masks: Masks) -> dict[str, Preview]:
    """What each model says, by id; one that fails says why and does not hide the others."""
    found = {}
    for choice in chosen:
        with st.spinner(f"Asking {literal(choice.name)} …"), one_model(choice, "plain"):
            found[choice.id] = ask(choice.reference, text, **vars(masks))
    return found


@contextmanager
def one_model(choice: Choice, question: str) -> Iterator[None]:
    """Shows a failure that is about one model alone; the name of the question keeps keys apart."""
    try:
        yield
    except EntromaskError as error:
        if not about_one_model(error):
            raise
        hint = f"\n\n{literal(error.hint)}" if error.hint else ""
        st.error(f"**{literal(choice.name)}**: {literal(error.message)}{hint}")
        if took_too_long(error):
            st.button("Ask again", key=f"again {question} {choice.id}", on_click=ask_again)


@st.fragment
def look(text: str, chosen: Sequence[Choice], plain: Mapping[str, Preview]) -> None:
    """The map and what the selection does; a click asks for these alone."""
    with guarded():
        spans = selection(text)
        panes = []
        for choice in chosen:
            before = plain[choice.id]
            after = before
            with one_model(choice, "masked"):
                after = masked(text, choice, before, spans)
            panes.append(Pane(choice.id, choice.name, before, after))
        token_map(text, panes, spans)
        changed = [pane for pane in panes if pane.shown is not pane.plain]
        if changed:
            mask_effect(text, changed)


def masked(text: str, choice: Choice, before: Preview, spans: Sequence[Span]) -> Preview:
    """The preview with the spans hidden; as before where this model has no token in them."""
    positions = hidden(before.tokens, spans)
    return ask(choice.reference, text, masked=positions) if positions else before


def rows(text: str, shown: Sequence[tuple[str, Preview]], presets: Sequence[str]) -> None:
    """What the presets would hide, and how far they agree."""
    if not presets:
        st.caption("Choose presets to see which tokens they would mask.")
        return
    st.caption(
        "Outlined: what a run's first epoch masks with this seed. Presets of a teacher and of "
        "the model itself both score with the model shown."
    )
    mask_rows(text, shown)
    agreeing = [(label, preview.agreement) for label, preview in shown]
    if any(len(found["presets"]) > 1 for _, found in agreeing):
        st.subheader("Agreement of these selections", anchor=False)
        st.caption(
            "Expected overlap by the mask probabilities (sum of the smaller of the two, over the "
            "masked tokens): 1 where two presets mask every token with the same probability, 0 "
            "where no token can be in both masks. In brackets its chance level: the same with the "
            "probabilities of one preset shuffled over the tokens."
        )
        agreement(agreeing)


def page() -> None:
    """The text, the models, the map, the presets; in this order on the page."""
    text = text_input()
    chosen = choose()
    if not chosen:
        return
    if not text.strip():
        st.info("Write a sentence or two above to see how unsure the models are at each token.")
        return
    place = st.container()
    masks = controls()
    with place:
        plain = previews(text, chosen, masks)
        able = [choice for choice in chosen if choice.id in plain]
        if able:
            look(text, able, plain)
    if able:
        rows(text, [(choice.name, plain[choice.id]) for choice in able], masks.presets)


def no_worker(error: ApiError) -> None:
    """Previews need a process of their own; the page shows itself again once there is one."""
    st.error(
        "No preview worker is running, and one is what asks a model about a text.\n\n"
        + literal(error.hint or "")
    )
    st.caption("This page shows itself again as soon as one is there.")
    wait_for_worker()


@st.fragment(run_every=_AGAIN)
def wait_for_worker() -> None:
    with guarded():
        if any(worker.queue == "preview" for worker in client().workers()):
            st.rerun()


st.title("Entropy")
with guarded():
    try:
        page()
    except ApiError as error:
        if error.code != "no_preview_worker":
            raise
        no_worker(error)

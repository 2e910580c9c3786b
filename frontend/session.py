"""What a page needs of its browser session: the client of the API, and words for its errors.

    with guarded():
        runs = client().runs_page(limit=50)

A page whose API is away says so and shows itself again as soon as the API is back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import streamlit as st

from entromask.client import ApiError, Client, UnreachableError
from entromask.errors import EntromaskError
from entromask.hosts import is_loopback
from entromask.settings import settings

# How often a page asks whether an API that was away is back, in seconds.
_AGAIN = 2.0
# What an answer may take; previews of a model that has to be loaded take the longest.
_PATIENCE = 75.0
_KEY, _CLIENT = "entromask_key", "entromask_client"


@dataclass
class _Connected:
    key: str
    client: Client


def connect(key: str) -> Client:
    """A client that does not try again by itself: the page does. An empty key is none."""
    return Client(key=key, timeout=_PATIENCE, retry=False)


def client() -> Client:
    """The client of this browser session, with the key that was given in it.

    The key of the environment serves a dashboard that only this machine can reach; anywhere else
    every user has a key of their own.
    """
    key = _own_key()
    known: _Connected | None = st.session_state.get(_CLIENT)
    if known is None or known.key != key:
        known = _Connected(key, connect(key))
        st.session_state[_CLIENT] = known
    return known.client


def another_client() -> Client:
    """A further client with the same key, for a thread: a client is not for several at once."""
    return connect(_own_key())


def _own_key() -> str:
    here = settings()
    own = here.api_key if is_loopback(here.dashboard_host) else None
    return st.session_state.get(_KEY) or own or ""


@contextmanager
def guarded() -> Iterator[None]:
    """Shows an expected failure of its body in place of what the body would have shown."""
    try:
        yield
    except UnreachableError as error:
        _say_away(error)
    except ApiError as error:
        if error.status == 401:
            _ask_for_key(error)
        elif error.status in (429, 502, 503, 504) and error.code != "no_preview_worker":
            _say_away(error)
        else:
            show(error)
    except EntromaskError as error:
        show(error)


def show(error: EntromaskError) -> None:
    """What went wrong, and what to do."""
    st.error(literal(error.message) + (f"\n\n{literal(error.hint)}" if error.hint else ""))


def literal(text: str) -> str:
    """Text for Markdown that shows as it is: names of runs and files are no markup."""
    return "".join(f"\\{sign}" if sign in _MARKUP else sign for sign in text)


_MARKUP = set("\\`*_{}[]()<>#+-.!|~$:&")


def _say_away(error: EntromaskError) -> None:
    """Says that the API is away, and looks for it until it is back."""
    show(error)
    st.caption("This page shows itself again as soon as the service answers.")
    _wait_for_api()


@st.fragment(run_every=_AGAIN)
def _wait_for_api() -> None:
    # The first look comes with the failure itself.
    if st.session_state.pop("entromask_waiting", None) is None:
        st.session_state["entromask_waiting"] = True
        return
    st.session_state["entromask_waiting"] = True
    try:
        client().health()
    except EntromaskError:
        return
    del st.session_state["entromask_waiting"]
    st.rerun()


def _ask_for_key(error: ApiError) -> None:
    """Asks for an API key; it stays in this browser session alone."""
    given = st.session_state.get(_KEY)
    if given:
        show(error)
    with st.form("key", width=480):
        key = st.text_input(
            "API key",
            type="password",
            help="`entromask keys create NAME --role write` prints one",
        )
        if st.form_submit_button("Sign in", type="primary") and key:
            st.session_state[_KEY] = key.strip()
            st.rerun()

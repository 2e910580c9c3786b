"""The key that a browser session has, and words that are shown as they are."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from entromask.settings import settings
from frontend.session import literal


def shown_key(monkeypatch: pytest.MonkeyPatch, host: str) -> str:
    """The key with which a session connects, of a dashboard on a host."""
    monkeypatch.setenv("ENTROMASK_API_KEY", "em_of_the_environment")
    monkeypatch.setenv("ENTROMASK_DASHBOARD_HOST", host)
    settings.cache_clear()

    def page() -> None:
        import streamlit as st

        from frontend import session

        session.connect = lambda key: key  # type: ignore[assignment, return-value]
        st.text(f"[{session.client()}]")

    from frontend import session

    real = session.connect
    try:
        [text] = AppTest.from_function(page).run().text
    finally:
        session.connect = real
        settings.cache_clear()
    return str(text.value).strip("[]")


def test_the_key_of_the_environment_is_for_a_dashboard_of_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shown_key(monkeypatch, "127.0.0.1") == "em_of_the_environment"
    assert shown_key(monkeypatch, "0.0.0.0") == ""


def test_words_of_a_user_are_no_markup() -> None:
    assert literal("a*b* [x](y) <b> $1$ :red[z]") == (r"a\*b\* \[x\]\(y\) \<b\> \$1\$ \:red\[z\]")

"""Pages under Streamlit's AppTest, in this process, over a fake client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import frontend
from frontend import session
from frontend.parts.value_fields import name_of
from frontend.routes import ROUTES
from tests.frontend.fake import FakeClient

APP = Path(frontend.__file__).with_name("app.py")
Open = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page by its name over a fake client, with the query of its URL."""

    def opened(name: str, fake: FakeClient, **query: str) -> AppTest:
        monkeypatch.setattr(session, "connect", lambda key: fake)
        app = AppTest.from_file(APP, default_timeout=180)
        app.switch_page(ROUTES[name].script)
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return opened


def field(widgets: Any, name: str) -> Any:
    """The one widget of a kind, such as `app.text_input`, that belongs to a field.

    Raises:
        KeyError: there is none.
    """
    found = [one for one in widgets if one.key is not None and name_of(one.key) == name]
    if len(found) != 1:
        raise KeyError(name)
    return found[0]


def words(app: AppTest) -> str:
    """Everything that a page says, in its order."""
    found = []
    for element in app.main:
        value = getattr(element, "value", None)
        found += [str(part) for part in (getattr(element, "label", None), value) if part]
        body = getattr(getattr(element, "proto", None), "body", None)
        found += [body] if isinstance(body, str) else []
    return "\n".join(found)

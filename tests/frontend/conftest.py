"""Pages under Streamlit's AppTest, in this process, over a fake client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import frontend
from frontend import session
from frontend.routes import ROUTES
from tests.frontend.fake import FakeClient

APP = Path(frontend.__file__).with_name("app.py")
Open = Callable[..., AppTest]


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page by its name over a fake client, with the query of its URL."""

    def opened(name: str, fake: FakeClient, **query: str) -> AppTest:
        monkeypatch.setattr(session, "connect", lambda key: fake)
        app = AppTest.from_file(APP, default_timeout=30)
        app.switch_page(ROUTES[name].script)
        for key, value in query.items():
            app.query_params[key] = value
        return app.run()

    return opened


def words(app: AppTest) -> str:
    """Everything that a page says, in its order."""
    found = []
    for element in app.main:
        value = getattr(element, "value", None)
        found += [str(part) for part in (getattr(element, "label", None), value) if part]
        body = getattr(getattr(element, "proto", None), "body", None)
        found += [body] if isinstance(body, str) else []
    return "\n".join(found)

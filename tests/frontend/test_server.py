"""How the dashboard is started, and what its pages are served with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from entromask.errors import InputError
from entromask.settings import Settings
from frontend.__main__ import check_exposure, command
from frontend.server import Rooted

PAGE = "<html><head><script>one</script><script>two</script></head></html>"


@pytest.fixture
def served() -> TestClient:
    from starlette.applications import Starlette

    app: ASGIApp = Starlette(
        routes=[
            Route("/page", lambda request: HTMLResponse(PAGE)),
            Route("/words", lambda request: PlainTextResponse("<script>")),
        ]
    )
    return TestClient(Rooted(app))


def test_a_page_learns_where_it_is_served_before_any_script_of_its_own(
    served: TestClient,
) -> None:
    answer = served.get("/page", headers={"Accept": "text/html"})
    first, _, rest = answer.text.partition("</script>")
    assert "BACKEND_BASE_URL" in first
    assert "<script>one</script><script>two</script>" in rest
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_what_is_no_page_stays_as_it_is(served: TestClient) -> None:
    assert served.get("/words", headers={"Accept": "text/html"}).text == "<script>"


def test_the_settings_say_where_it_listens_and_to_which_names_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENTROMASK_DASHBOARD_PORT", "8765")
    monkeypatch.setenv("ENTROMASK_ALLOWED_HOSTS", "localhost, lab.example")
    words = command(Settings())
    assert "--server.address=127.0.0.1" in words
    assert "--server.port=8765" in words
    hosts = [word for word in words if word.startswith("--server.allowedHosts=")]
    assert [word.partition("=")[2] for word in hosts] == ["localhost", "lab.example"]


def test_a_dashboard_without_keys_is_for_this_machine_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENTROMASK_DASHBOARD_HOST", "0.0.0.0")
    with pytest.raises(InputError, match=r"ENTROMASK_DASHBOARD_HOST is '0\.0\.0\.0'"):
        check_exposure(Settings())
    monkeypatch.setenv("ENTROMASK_AUTH", "keys")
    check_exposure(Settings())


def test_a_start_that_is_refused_is_one_sentence_and_a_hint(tmp_path: Path) -> None:
    environment = os.environ | {"ENTROMASK_DASHBOARD_HOST": "192.0.2.1", "ENTROMASK_AUTH": "keys"}
    done = subprocess.run(
        [sys.executable, "-m", "frontend"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 2
    [error, hint] = done.stderr.splitlines()
    assert error.startswith("error: nothing can listen on port 8501 of 192.0.2.1")
    assert "ENTROMASK_DASHBOARD_HOST" in hint

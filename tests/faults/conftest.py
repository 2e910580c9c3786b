"""A service on each database, shared by the tests of a module, and what a run should come to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.backend.conftest import Postgres, postgres
from tests.entromask.runs import events, execute, weights, write_corpus
from tests.faults.service import Service, long_spec

__all__ = ["postgres"]

BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("text") / "text.txt")


@pytest.fixture(scope="session")
def undisturbed(text: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The weights and the curve of the same spec, run without a service."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = execute(long_spec(text, "undisturbed"), folder)
    assert done.returncode == 0, done.stderr
    curve = {
        event["step"]: event["metrics"]["training_loss"]
        for event in events(folder)
        if event["type"] == "progress" and "training_loss" in event.get("metrics", {})
    }
    return {"weights": weights(folder), "curve": curve}


@pytest.fixture(scope="module", params=BOTH)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    url = None
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        name = f"faults_{uuid4().hex}"
        server.create(name, template="template1")
        url = server.url(name)
    made = Service(url)
    try:
        made.start()
        yield made
        made.stop()
        assert made.processes() == []
    finally:
        made.remove()

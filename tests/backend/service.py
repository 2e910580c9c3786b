"""The API in this process, over a fresh home: for tests of its routes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.testclient import TestClient

from backend.app import create_app
from backend.db.engine import Database


@contextmanager
def api() -> Iterator[TestClient]:
    """A client of the API, on a loopback address; ENTROMASK_HOME is that of the test."""
    with TestClient(
        create_app(), base_url="http://127.0.0.1", client=("127.0.0.1", 50000)
    ) as client:
        yield client


def database_of(client: TestClient) -> Database:
    database: Database = client.app.state.database  # type: ignore[attr-defined]
    return database

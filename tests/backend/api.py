"""The API for tests: in this process for its answers, in one of its own for the network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.testclient import TestClient

from backend.app import create_app
from backend.db.engine import Database

LOCAL = "http://127.0.0.1"
SPEC: dict[str, Any] = {
    "name": "small",
    "model": {"size": "tiny"},
    "pretraining": {"budget": {"steps": 10}},
    "evaluation": {"tasks": ["demo-order"], "seeds": [0]},
}


@contextmanager
def client() -> Iterator[TestClient]:
    """The API by the settings of this test, asked from this machine."""
    app = create_app()
    with TestClient(
        app, base_url=LOCAL, client=("127.0.0.1", 50000), raise_server_exceptions=False
    ) as asking:
        yield asking


def database_of(asking: TestClient) -> Database:
    """The database that this API uses."""
    database: Database = asking.app.state.database  # type: ignore[attr-defined]
    return database


def submitted(asking: TestClient, **changes: Any) -> dict[str, Any]:
    """A new run of a small spec."""
    answer = asking.post("/v1/runs", json={"spec": SPEC | changes})
    assert answer.status_code == 201, answer.text
    run: dict[str, Any] = answer.json()
    return run


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The problem in an answer, whose shape is checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code", "hint", "errors"} <= set(body)
    assert (body["status"], body["code"]) == (status, code), body
    return body


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(home: Path, **environment: str) -> Iterator[str]:
    """The address of a real server on this ENTROMASK_HOME."""
    port = free_port()
    settings = {"ENTROMASK_HOME": str(home), "ENTROMASK_API_PORT": str(port), **environment}
    command = [sys.executable, "-m", "backend"]
    home.mkdir(parents=True, exist_ok=True)
    with (home / "api.log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | settings, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process, home / "api.log")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            httpx.get(f"{address}/healthz")
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(log.read_text())

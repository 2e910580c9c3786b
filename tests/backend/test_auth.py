"""Who may ask the API for what."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from backend.app import create_app
from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.store.keys import create_key, revoke_key
from entromask.hosts import is_loopback
from entromask.settings import settings
from tests.backend.api import LOCAL, client, problem, served

Keys = dict[str, str]


@pytest.fixture
def api(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_AUTH", "keys")
    settings.cache_clear()
    with client() as asking:
        yield asking


@pytest.fixture
def keys(api: TestClient) -> Keys:
    made = {}
    with api.app.state.database.write() as session:  # type: ignore[attr-defined]
        for role in ("read", "write", "admin"):
            made[role] = create_key(session, role, role)[1]
    return made


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_without_a_key_only_health_is_told(api: TestClient) -> None:
    for path in ("/healthz", "/readyz"):
        assert api.get(path).status_code == 200
    for path in ("/v1/runs", "/metrics", "/v1/nothing", "/v1/runs/x/events"):
        answer = api.get(path)
        problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_wrong_or_revoked_key_is_refused(api: TestClient, keys: Keys) -> None:
    with api.app.state.database.write() as session:  # type: ignore[attr-defined]
        revoke_key(session, "write")
    for secret in ("wrong", keys["write"], keys["read"] + "x", "é"):
        answer = api.get("/v1/runs", headers={"Authorization": f"Bearer {secret}".encode()})
        problem(answer, 401, "unauthorized")
        assert "invalid_token" in answer.headers["www-authenticate"]
    basic = api.get("/v1/runs", headers={"Authorization": f"Basic {keys['read']}"})
    problem(basic, 401, "unauthorized")


def test_a_read_key_reads_and_does_not_write(api: TestClient, keys: Keys) -> None:
    assert api.get("/v1/runs", headers=bearer(keys["read"])).status_code == 200
    refused = api.post("/v1/runs", json={"spec": {}}, headers=bearer(keys["read"]))
    assert "needs 'write'" in problem(refused, 403, "forbidden")["detail"]
    for role in ("write", "admin"):
        made = api.post("/v1/runs", json={"spec": {}}, headers=bearer(keys[role]))
        assert made.status_code == 201
    problem(
        api.delete(f"/v1/runs/{made.json()['id']}", headers=bearer(keys["read"])), 403, "forbidden"
    )


def test_the_idempotency_keys_of_two_callers_do_not_meet(api: TestClient, keys: Keys) -> None:
    ids = set()
    for role in ("write", "admin"):
        headers = bearer(keys[role]) | {"Idempotency-Key": "same"}
        ids.add(api.post("/v1/runs", json={"spec": {}}, headers=headers).json()["id"])
    assert len(ids) == 2


def test_a_path_outside_the_data_folders_is_refused_also_through_a_link(
    api: TestClient, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed, outside = tmp_path / "allowed", tmp_path / "outside"
    allowed.mkdir()
    outside.mkdir()
    (outside / "train.txt").write_text("text")
    (allowed / "train.txt").write_text("text")
    (allowed / "link").symlink_to(outside)
    monkeypatch.setattr(settings(), "data_dirs", str(allowed))

    def ask(path: str, of_a_task: bool = False) -> httpx.Response:
        spec: dict[str, Any] = {"corpus": {"source": "local", "path": path}}
        if of_a_task:
            task = {"path": path, "columns": ["text"], "labels": 2}
            spec = {"evaluation": {"user_tasks": {"mine": task}}}
        headers = bearer(keys["write"])
        answer: httpx.Response = api.post(
            "/v1/runs?validate_only=true", json={"spec": spec}, headers=headers
        )
        return answer

    assert ask(f"{allowed}/train.txt").status_code == 200
    # What is not there is told only inside.
    for path in (
        f"{outside}/train.txt",
        f"{outside}/nothing",
        f"{allowed}/link/train.txt",
        f"{allowed}/../outside/train.txt",
        "/etc/passwd",
        "~/x",
    ):
        body = problem(ask(path), 422, "invalid_spec")
        assert "not in a folder that specs may name" in body["errors"][0]["detail"]
        [error] = problem(ask(path, of_a_task=True), 422, "invalid_spec")["errors"]
        assert "not in a folder that specs may name" in error["detail"]
        assert error["pointer"].endswith("/evaluation/user_tasks/mine/path")
    assert ask(str(allowed), of_a_task=True).status_code == 200
    body = problem(ask(f"{allowed}/nothing"), 422, "invalid_spec")
    assert "there is no" in body["errors"][0]["detail"]


@pytest.mark.usefixtures("home")
def test_a_foreign_host_or_origin_is_refused() -> None:
    with client() as asking:
        for host in ("localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"):
            assert asking.get("/v1/runs", headers={"Host": host}).status_code == 200
        for host in ("evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:8000"):
            answer = asking.get("/v1/runs", headers={"Host": host})
            problem(answer, 400, "host_not_allowed")
        for origin in ("http://localhost:8501", "http://[::1]:1"):
            assert asking.get("/v1/runs", headers={"Origin": origin}).status_code == 200
        for origin in ("https://evil.example", "null", "http://localhost.evil.example", "http://["):
            answer = asking.post("/v1/runs", json={"spec": {}}, headers={"Origin": origin})
            problem(answer, 403, "foreign_origin")
        assert asking.get("/v1/runs").json()["data"] == []


@pytest.mark.usefixtures("home")
def test_without_keys_another_machine_is_not_heard() -> None:
    app = create_app()
    with TestClient(app, base_url=LOCAL, client=("10.0.0.7", 1)) as asking:
        problem(asking.get("/v1/runs"), 403, "not_local")


@pytest.mark.usefixtures("home")
def test_too_many_requests_are_told_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTROMASK_RATE_LIMIT", "3/hour")
    settings.cache_clear()
    with client() as asking:
        for _ in range(3):
            assert asking.get("/v1/runs").status_code == 200
        answer = asking.get("/v1/runs")
        problem(answer, 429, "rate_limited")
        assert 0 < int(answer.headers["retry-after"]) <= 3600
        assert asking.get("/healthz").status_code == 200


def test_loopback_addresses_are_told_from_others() -> None:
    for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", ""):
        assert not is_loopback(host)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"ENTROMASK_API_HOST": "0.0.0.0"}, "loopback"),
        ({"ENTROMASK_RATE_LIMIT": "many"}, "ENTROMASK_RATE_LIMIT"),
        ({"ENTROMASK_DATABASE_URL": "mysql://x"}, "ENTROMASK_DATABASE_URL"),
    ],
)
def test_settings_that_cannot_be_are_one_sentence(
    home: Path, variables: dict[str, str], words: str
) -> None:
    done = started(home, variables)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 2
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_port_that_is_taken_is_named(home: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = started(home, {"ENTROMASK_API_PORT": str(port)})
    assert done.returncode == 2
    assert f"port {port}" in done.stderr


def test_a_real_server_asks_for_a_key(tmp_path: Path) -> None:
    home = tmp_path / "home"
    database = Database(f"sqlite:///{home / 'entromask.db'}")
    migrate(database)
    with database.write() as session:
        _, secret = create_key(session, "k", "read")
    database.close()
    with served(home, ENTROMASK_AUTH="keys") as address:
        assert httpx.get(f"{address}/v1/runs").status_code == 401
        assert httpx.get(f"{address}/v1/runs", headers=bearer(secret)).status_code == 200


def started(home: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`python -m backend`, which ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "backend"],
        env=os.environ | {"ENTROMASK_HOME": str(home)} | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )

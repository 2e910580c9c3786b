"""The list of API keys, and which requests take which role."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from backend import auth
from backend.app import create_app
from backend.db.engine import Database
from backend.store.keys import ROLES, create_key, revoke_key
from entromask.settings import settings
from tests.backend.api import client, database_of, problem
from tests.backend.finished import finished


@pytest.fixture
def api(home: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_AUTH", "keys")
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", database.url)
    settings.cache_clear()
    with client() as asking:
        yield asking


@pytest.fixture
def secrets(api: TestClient) -> dict[str, str]:
    with database_of(api).write() as session:
        return {role: create_key(session, f"of {role}", role)[1] for role in ROLES}


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_an_admin_sees_all_keys_and_no_secret(api: TestClient, secrets: dict[str, str]) -> None:
    with database_of(api).write() as session:
        revoke_key(session, "of write")
    answer = api.get("/v1/keys", headers=bearer(secrets["admin"]))
    keys = answer.json()["data"]
    assert [(key["name"], key["role"]) for key in keys] == [(f"of {role}", role) for role in ROLES]
    fields = {"id", "object", "name", "role", "prefix", "created_at", "used_at", "revoked_at"}
    assert all(set(key) == fields for key in keys)
    assert all(secrets[key["role"]].startswith(key["prefix"]) for key in keys)
    assert not any(secret in answer.text for secret in secrets.values())
    revoked = {key["role"]: key["revoked_at"] for key in keys}
    assert revoked["read"] is revoked["admin"] is None
    assert revoked["write"] <= time.time()


@pytest.mark.parametrize("role", ["read", "write"])
def test_others_do_not_see_the_keys(api: TestClient, secrets: dict[str, str], role: str) -> None:
    body = problem(api.get("/v1/keys", headers=bearer(secrets[role])), 403, "forbidden")
    assert body["detail"] == f"the key has the role '{role}', and GET /v1/keys needs 'admin'"
    assert "--role admin" in body["hint"]
    problem(api.get("/v1/keys"), 401, "unauthorized")


def test_without_keys_this_machine_sees_the_list(home: Path) -> None:
    with client() as asking:
        assert asking.get("/v1/keys").json()["data"] == []


def used(api: TestClient, secret: str) -> dict[str, float | None]:
    keys = api.get("/v1/keys", headers=bearer(secret)).json()["data"]
    return {key["role"]: key["used_at"] for key in keys}


def test_the_last_use_of_a_key_is_kept_to_the_minute(
    api: TestClient, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = time.time()
    assert used(api, secrets["admin"]) == {"read": None, "write": None, "admin": None}
    problem(api.post("/v1/runs", json={}, headers=bearer(secrets["read"])), 403, "forbidden")
    assert api.get("/v1/runs", headers=bearer(secrets["write"])).status_code == 200
    found = used(api, secrets["admin"])
    assert found["read"] is None
    assert before <= (found["write"] or 0) <= time.time()
    # Not with every request; and again after a while.
    api.get("/v1/runs", headers=bearer(secrets["write"]))
    assert used(api, secrets["admin"]) == found
    monkeypatch.setattr(auth, "_NOTE_SECONDS", 0.0)
    api.get("/v1/runs", headers=bearer(secrets["write"]))
    assert (used(api, secrets["admin"])["write"] or 0) > (found["write"] or 0)


def test_a_read_key_compares(api: TestClient, secrets: dict[str, str]) -> None:
    run, _ = finished(database_of(api), "one")
    answer = api.post("/v1/compare", json={"runs": [run]}, headers=bearer(secrets["read"]))
    assert answer.status_code == 200


@pytest.mark.usefixtures("home")
def test_every_request_that_takes_another_role_is_one_of_the_api() -> None:
    paths: dict[str, dict[str, Any]] = create_app().openapi()["paths"]
    assert all(method.lower() in paths[path] for method, path in auth.NEEDED)
    assert set(auth.NEEDED.values()) <= set(ROLES)

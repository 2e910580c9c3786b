"""`entromask keys`: what is printed where, and what is kept."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from subprocess import CompletedProcess

from backend.db.engine import Database
from backend.store.keys import find_key
from entromask.settings import settings
from tests.console import entromask


def keys(*words: str, code: int = 0) -> CompletedProcess[str]:
    done = entromask("keys", *words)
    assert done.returncode == code, done.stderr
    return done


def role_of(secret: str) -> str | None:
    database = Database(settings().database)
    try:
        with database.read() as session:
            key = find_key(session, secret)
            return key.role if key else None
    finally:
        database.close()


def test_a_new_key_works_and_its_secret_alone_is_on_stdout(home: Path) -> None:
    done = keys("create", "laptop", "--role", "read")
    secret = done.stdout.strip()
    assert done.stdout == secret + "\n"
    assert role_of(secret) == "read"
    assert "'laptop' with the role read" in done.stderr
    assert secret not in done.stderr


def test_a_secret_is_never_kept_and_never_shown_again(home: Path) -> None:
    secret = keys("create", "laptop").stdout.strip()
    listed = keys("list").stdout + keys("list", "--json").stdout
    assert "laptop" in listed
    assert secret not in listed
    with sqlite3.connect(home / "entromask.db") as connection:
        assert secret not in "\n".join(connection.iterdump())
    connection.close()
    for file in home.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_json_holds_the_secret_once(home: Path) -> None:
    made = json.loads(keys("create", "ci", "--role", "admin", "--json").stdout)
    assert role_of(made["secret"]) == made["role"] == "admin"
    (listed,) = json.loads(keys("list", "--json").stdout)
    assert listed["id"] == made["id"]
    assert "secret" not in listed
    assert "hash" not in listed


def test_a_revoked_key_is_refused_by_name_and_by_id(home: Path) -> None:
    first, second = (json.loads(keys("create", n, "--json").stdout) for n in ("a", "b"))
    assert f"revoked {first['id']} 'a' (write)" in keys("revoke", "a").stdout
    assert role_of(first["secret"]) is None
    assert role_of(second["secret"]) == "write"
    keys("revoke", second["id"])
    assert role_of(second["secret"]) is None
    assert keys("list").stdout.count("revoked") == 2


def test_what_cannot_be_is_said_in_one_sentence(home: Path) -> None:
    assert "no valid key with the name or id 'x'" in keys("revoke", "x", code=2).stderr
    assert "1 to 100 printable characters" in keys("create", "a\nb", code=2).stderr
    assert "'owner'" in keys("create", "a", "--role", "owner", code=2).stderr

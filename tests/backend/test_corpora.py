"""The routes of corpora: upload, list, read, delete, and a run that names one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from backend.db.engine import Database
from backend.db.tables import Corpus
from backend.store.runs import create_run
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.backend.api import client as api
from tests.backend.api import database_of

TEXT = b"Some words about entropy.\n\nAnd a second document.\n"


@pytest.fixture
def client(home: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", database.url)
    settings.cache_clear()
    with api() as client:
        yield client


def send(
    client: TestClient, content: bytes = TEXT, name: str = "a.txt", **options: Any
) -> dict[str, Any]:
    answer = client.post("/v1/corpora", files={"file": (name, content)}, **options)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/corpora/{answer.json()['id']}"
    found: dict[str, Any] = answer.json()
    return found


def folders() -> list[str]:
    found = [path.name for path in settings().corpora.iterdir() if path.name != ".receiving"]
    assert not any((settings().corpora / ".receiving").iterdir())
    return found


def test_an_upload_can_be_read_listed_and_deleted(client: TestClient) -> None:
    made = send(client, data={"name": "My text"})
    assert made["sha256"] == hashlib.sha256(TEXT).hexdigest()
    assert (made["name"], made["format"], made["size"]) == ("My text", "txt", len(TEXT))
    assert client.get(f"/v1/corpora/{made['id']}").json() == made
    assert client.get("/v1/corpora").json()["data"] == [made]
    assert folders() == [made["id"]]
    assert client.delete(f"/v1/corpora/{made['id']}").status_code == 204
    assert folders() == []
    trash = settings().root / "trash" / made["id"] / "corpus.txt"
    assert trash.read_bytes() == TEXT
    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/v1/corpora/{made['id']}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_pages_hold_each_corpus_once(client: TestClient) -> None:
    ids = [send(client)["id"] for _ in range(5)]
    found, after = [], None
    while True:
        part = client.get("/v1/corpora", params={"limit": 2} | ({"after": after} if after else {}))
        found += [corpus["id"] for corpus in part.json()["data"]]
        after = part.json()["next"]
        if not part.json()["has_more"]:
            break
    assert found == ids[::-1]


def test_a_refused_upload_is_a_problem_and_leaves_nothing(client: TestClient) -> None:
    answer = client.post("/v1/corpora", files={"file": ("a.jsonl", b'{"text": "a"}\n{"b": 1}\n')})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "invalid_corpus"
    assert problem["errors"] == [{"pointer": "/file", "detail": problem["detail"]}]
    assert problem["detail"] == "a.jsonl, line 2 has no column 'text'; it has: b"
    assert folders() == []
    assert client.get("/v1/corpora").json()["data"] == []


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"json": {"file": "x"}}, 415),
        ({"data": {"name": "x"}}, 415),
        ({"content": b"", "headers": {"content-type": "multipart/form-data; boundary=x"}}, 422),
        ({"files": {"document": ("a.txt", TEXT)}}, 422),
    ],
)
def test_another_kind_of_body_is_refused(
    client: TestClient, options: dict[str, Any], status: int
) -> None:
    assert client.post("/v1/corpora", **options).status_code == status
    assert folders() == []


def test_a_file_over_the_limit_is_413(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTROMASK_UPLOAD_LIMIT", "1000")
    settings.cache_clear()
    answer = client.post("/v1/corpora", files={"file": ("a.txt", TEXT * 100)})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert folders() == []


def test_the_same_key_stores_one_corpus(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = (send(client, headers=headers) for _ in range(2))
    assert first == second
    assert folders() == [first["id"]]
    other = client.post("/v1/corpora", files={"file": ("a.txt", b"other words")}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert folders() == [first["id"]]


def spec_of(corpus: str) -> dict[str, Any]:
    return {"corpus": {"source": "upload", "id": corpus}, "evaluation": {"tasks": ["demo-order"]}}


def test_a_corpus_that_an_unfinished_run_needs_stays(client: TestClient) -> None:
    made, other = send(client), send(client)
    with database_of(client).write() as session:
        run = create_run(session, RunSpec.parse(spec_of(made["id"])).resolved())
        run_id = run.id
    answer = client.delete(f"/v1/corpora/{made['id']}")
    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")
    assert run_id in answer.json()["detail"]
    assert client.delete(f"/v1/corpora/{other['id']}").status_code == 204
    with database_of(client).write() as session:
        session.merge(run).status = "cancelled"
    assert client.delete(f"/v1/corpora/{made['id']}").status_code == 204


def test_a_spec_names_an_upload_that_is_there(client: TestClient) -> None:
    made = send(client)
    checked = "/v1/runs?validate_only=true"
    answer = client.post(checked, json={"spec": spec_of(made["id"])})
    assert answer.status_code == 200, answer.text
    answer = client.post(checked, json={"spec": spec_of("corpus_none")})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/spec/corpus/id"
    answer = client.post(checked, json={"spec": spec_of("../runs")})
    assert answer.json()["errors"][0]["pointer"] == "/spec/corpus/id"


def test_a_folder_cannot_pass_for_a_name_on_the_hub(client: TestClient, tmp_path: Path) -> None:
    for corpus in (str(tmp_path), "../data", "~/data"):
        spec = {"corpus": {"source": "hub", "name": corpus}}
        answer = client.post("/v1/runs?validate_only=true", json={"spec": spec})
        assert answer.json()["errors"][0]["pointer"] == "/spec/corpus/name"


def test_what_a_crash_left_is_removed_at_the_start(home: Path) -> None:
    with api() as client:
        made = send(client)
    for corpus_id in (made["id"], "corpus_crashed"):
        (settings().corpora / ".receiving" / corpus_id).touch()
    (settings().corpora / "corpus_crashed").mkdir()
    with api() as client:
        assert folders() == [made["id"]]
        with database_of(client).read() as session:
            assert session.get(Corpus, made["id"]) is not None

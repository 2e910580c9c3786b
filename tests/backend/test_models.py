"""Models: finished runs, registered folders and Hub names, and what is refused unopened."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from backend.db.engine import Database
from backend.store.runs import create_run
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.backend.api import client as api
from tests.backend.api import database_of


@pytest.fixture
def data(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that may be named."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("ENTROMASK_DATA_DIRS", str(folder))
    settings.cache_clear()
    return folder


@pytest.fixture
def client(data: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", database.url)
    settings.cache_clear()
    with api() as client:
        yield client


def save(folder: Path, config: dict[str, Any] | None = None, **files: bytes) -> Path:
    folder.mkdir(parents=True)
    content = {"model_type": "bert", "architectures": ["BertForMaskedLM"]} | (config or {})
    (folder / "config.json").write_text(json.dumps(content))
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


EMPTY_WEIGHTS = (2).to_bytes(8, "little") + b"{}"
WHOLE = {"model__safetensors": EMPTY_WEIGHTS, "tokenizer__json": b"{}"}


def refused(client: TestClient, body: dict[str, Any], pointer: str = "/path") -> str:
    answer = client.post("/v1/models", json=body)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert [error["pointer"] for error in problem["errors"]] == [pointer]
    assert client.get("/v1/models").json()["data"] == []
    return str(problem["detail"])


def test_a_folder_is_registered_read_and_forgotten(client: TestClient, data: Path) -> None:
    folder = save(data / "mine", **WHOLE)
    answer = client.post("/v1/models", json={"path": str(folder)})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["name"], made["architecture"]) == ("mine", "bert")
    assert made["reference"] == {"path": str(folder)}
    assert answer.headers["location"] == f"/v1/models/{made['id']}"
    assert client.get(f"/v1/models/{made['id']}").json() == made
    assert client.get("/v1/models").json()["data"] == [made]
    assert client.delete(f"/v1/models/{made['id']}").status_code == 204
    assert client.get(f"/v1/models/{made['id']}").status_code == 404
    assert (folder / "config.json").is_file()


def test_finished_runs_and_registered_models_are_one_list(client: TestClient) -> None:
    ids = []
    with database_of(client).write() as session:
        for status in ("succeeded", "failed", "succeeded"):
            run = create_run(session, RunSpec(name=status).resolved())
            run.status = status
            ids.append(run.id)
    hub = client.post("/v1/models", json={"hub": "google/bert-mini", "revision": "main"}).json()
    wanted = [hub["id"], ids[2], ids[0]]
    found, after = [], None
    for _ in wanted:
        part = client.get("/v1/models", params={"limit": 1} | ({"after": after} if after else {}))
        found += [model["id"] for model in part.json()["data"]]
        after = part.json()["next"]
    assert (found, after) == (wanted, None)
    assert client.get(f"/v1/models/{ids[0]}").json()["reference"] == {"run": ids[0]}
    assert client.get(f"/v1/models/{ids[1]}").status_code == 404
    assert client.delete(f"/v1/models/{ids[0]}").status_code == 409


def test_pickled_weights_are_refused_and_never_opened(
    client: TestClient, data: Path, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    files = {"pytorch_model__bin": pickle.dumps(Bomb()), "tokenizer__json": b"{}"}
    detail = refused(client, {"path": str(save(data / "m", **files))})
    assert "pytorch_model.bin, a pickle" in detail
    assert not trap.exists()


@pytest.mark.parametrize(
    ("config", "files", "words"),
    [
        ({"auto_map": {"AutoModel": "evil.py"}}, WHOLE, "code of its own"),
        ({}, {**WHOLE, "tokenizer_config__json": b'{"auto_map": {}}'}, "code of its own"),
        ({}, {"tokenizer__json": b"{}"}, "holds no model.safetensors"),
        ({}, {"model__safetensors": EMPTY_WEIGHTS}, "holds no tokenizer"),
        ({}, {"model__safetensors": EMPTY_WEIGHTS, "vocab__txt": b"[PAD]"}, "no tokenizer.json"),
        ({}, {**WHOLE, "model__safetensors": b"w"}, "model.safetensors is truncated"),
        ({}, {**WHOLE, "config__json": b"[" * 100_000}, "config.json is not a JSON object"),
        ({}, {**WHOLE, "config__json": b"\xff"}, "config.json is not a JSON object"),
    ],
)
def test_a_folder_that_is_no_safe_model_is_refused(
    client: TestClient, data: Path, config: dict[str, Any], files: dict[str, bytes], words: str
) -> None:
    assert words in refused(client, {"path": str(save(data / "m", config, **files))})


def test_a_path_out_of_the_folders_is_refused(
    client: TestClient, data: Path, tmp_path: Path
) -> None:
    outside = save(tmp_path / "outside", **WHOLE)
    (data / "link").symlink_to(outside)
    for path in (outside, data / "link", data / ".." / "outside"):
        assert "not in a folder that specs may name" in refused(client, {"path": str(path)})
    half = save(data / "half", tokenizer__json=b"{}")
    (half / "model.safetensors").symlink_to(outside / "model.safetensors")
    assert "not in a folder" in refused(client, {"path": str(half)})
    assert "there is no" in refused(client, {"path": str(data / "none")})


@pytest.mark.parametrize(
    "name", ["/etc", "../x", "~/x", "a/b/c", "a b", "x--y", "a/.git", "a..b", "", "-a", "a\n"]
)
def test_what_is_no_hub_name_is_refused(client: TestClient, name: str) -> None:
    refused(client, {"hub": name}, "/hub")


def test_a_local_folder_is_no_hub_name(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "some" / "model", **WHOLE)
    monkeypatch.chdir(tmp_path)
    refused(client, {"hub": "some/model"}, "/hub")


def test_one_of_path_and_hub_is_needed(client: TestClient) -> None:
    refused(client, {}, "")
    refused(client, {"path": "/x", "hub": "a/b"}, "")
    refused(client, {"path": "/x", "revision": "main"}, "/revision")
    refused(client, {"hub": "a/b", "revision": "../x"}, "/revision")


def test_the_catalogue_lists_presets_and_tasks(client: TestClient) -> None:
    presets = {row["name"]: row for row in client.get("/v1/strategies").json()["data"]}
    assert presets["self-entropy-sample"]["parts"]["score"] == "entropy"
    tasks = {row["name"]: row for row in client.get("/v1/tasks").json()["data"]}
    assert tasks["mrpc"]["columns"] == ["sentence1", "sentence2"]

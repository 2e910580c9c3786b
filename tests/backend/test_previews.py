"""Previews: asked of a preview worker through the real queue, or refused at once."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from backend.queue import PREVIEW, RUN_PREVIEW, celery, redis_client
from backend.routes import previews
from backend.store.runs import create_run
from backend.store.workers import report_worker
from entromask.embedded_redis import EmbeddedRedis
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.backend.api import client as api
from tests.backend.api import database_of

# Celery 5.7 stores a result with a call that redis-py 8 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated setex:DeprecationWarning")

ASKED = {"text": "The cat sat.", "model": {"hub": "google/bert-mini"}, "presets": ["random"]}
RESULT = {"seed": 0, "max_entropy": 9.0, "tokens": [], "presets": [], "warnings": []}


@pytest.fixture
def client(redis: EmbeddedRedis, home: Path) -> Iterator[TestClient]:
    with api() as client:
        yield client


def be_seen(client: TestClient, *, stopping: bool = False) -> None:
    with database_of(client).write() as session:
        report_worker(session, "w1", host="h", pid=1, queue=PREVIEW, state={}, stopping=stopping)


def take() -> dict[str, Any]:
    """The next message of the preview queue, as a worker would get it."""
    with redis_client() as redis:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if found := redis.blpop(PREVIEW, timeout=1):
                return dict(json.loads(found[1]))
    raise AssertionError("nothing was sent")


def serve(
    client: TestClient,
    result: dict[str, Any],
    model: dict[str, Any] | None = None,
    **parts: Any,
) -> tuple[Any, dict[str, Any]]:
    """(the API's answer, the message) where a worker stores `result` as Celery does."""
    be_seen(client)
    taken: list[dict[str, Any]] = []

    def work() -> None:
        message = take()
        taken.append(message)
        celery().backend.store_result(message["headers"]["id"], result, "SUCCESS")

    thread = threading.Thread(target=work)
    thread.start()
    asked = ASKED | parts | ({} if model is None else {"model": model})
    # Escaped, as JSON may be: a client that sends UTF-8 cannot send half of a surrogate pair.
    content, headers = json.dumps(asked), {"Content-Type": "application/json"}
    answer = client.post("/v1/previews", content=content, headers=headers)
    thread.join()
    return answer, taken[0]


def test_a_text_that_is_not_unicode_is_asked_about_as_unicode(client: TestClient) -> None:
    answer, message = serve(client, RESULT, text="half \ud83d, whole \ud83d\ude00")
    assert answer.status_code == 200, answer.text
    arguments, _, _ = json.loads(base64.b64decode(message["body"]))
    assert arguments[0]["text"] == "half \ufffd, whole 😀"


def test_a_preview_is_the_workers_answer(client: TestClient) -> None:
    answer, message = serve(client, RESULT)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"object": "preview", **RESULT}
    assert message["headers"]["task"] == RUN_PREVIEW
    assert not message["headers"]["ignore_result"]
    assert message["headers"]["expires"]
    with redis_client() as redis:
        assert not redis.keys("celery-task-meta-*"), "the answer is not left behind"
        assert not redis.pubsub_channels(), "nobody stays subscribed"


def test_the_share_of_a_run_is_handed_to_the_worker_or_left_to_it(client: TestClient) -> None:
    _, message = serve(client, RESULT)
    assert message_body(message)["progress"] is None
    _, message = serve(client, RESULT, progress=0.5)
    assert message_body(message)["progress"] == 0.5


@pytest.mark.parametrize("progress", [-0.1, 1.5, "half"])
def test_a_share_of_a_run_beyond_its_ends_is_refused(client: TestClient, progress: Any) -> None:
    be_seen(client)
    answer = client.post("/v1/previews", json={**ASKED, "progress": progress})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == "/progress"


def test_what_the_worker_refuses_is_a_problem_with_a_pointer(client: TestClient) -> None:
    error = {"code": "user_error", "message": "presets: no 'x'", "hint": "h", "key": "presets"}
    answer, _ = serve(client, {"error": error})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["detail"], problem["hint"]) == ("presets: no 'x'", "h")
    assert problem["errors"] == [{"pointer": "/presets", "detail": "presets: no 'x'"}]


def test_without_a_preview_worker_it_is_said_at_once(client: TestClient) -> None:
    for seen in (False, True):
        if seen:
            be_seen(client, stopping=True)
        answer = client.post("/v1/previews", json=ASKED)
        assert (answer.status_code, answer.json()["code"]) == (503, "no_preview_worker")
        assert answer.json()["hint"]


def test_a_worker_that_does_not_answer_is_a_timeout(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "_SECONDS", 0.3)
    be_seen(client)
    answer = client.post("/v1/previews", json=ASKED)
    assert (answer.status_code, answer.json()["code"]) == (504, "preview_timeout")


def test_a_queue_that_is_away_is_said(client: TestClient, redis: EmbeddedRedis) -> None:
    be_seen(client)
    redis.stop()
    answer = client.post("/v1/previews", json=ASKED)
    assert (answer.status_code, answer.json()["code"]) == (503, "queue_unavailable")


def run_of(client: TestClient, status: str, *steps: int) -> str:
    """A run in the database that has written checkpoints and no model."""
    with database_of(client).write() as session:
        run = create_run(session, RunSpec(name=status).resolved())
        run.status = status
        folder = settings().runs / run.id
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text("name: a\n")
    for step in steps:
        checkpoint = folder / "checkpoints" / f"step-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "config.json").write_text("{}")
    return folder.name


@pytest.mark.parametrize("status", ["running", "cancelling", "failed", "cancelled", "succeeded"])
def test_a_checkpoint_of_a_run_is_handed_to_the_worker(client: TestClient, status: str) -> None:
    model = {"run": run_of(client, status, 500, 1000), "checkpoint": 500}
    answer, message = serve(client, RESULT, model)
    assert answer.status_code == 200, answer.text
    assert message_body(message)["model"] == model


def message_body(message: dict[str, Any]) -> dict[str, Any]:
    """The request that a task's message carries."""
    arguments, _, _ = json.loads(base64.b64decode(message["body"]))
    return dict(arguments[0])


@pytest.mark.parametrize(
    ("status", "steps", "checkpoint", "key", "words"),
    [
        ("running", (500, 1000), 700, "checkpoint", "at step 700; it has those at steps 500, 1000"),
        ("queued", (), 700, "checkpoint", "has no checkpoint at step 700; it has none"),
        ("succeeded", (500,), 700, "checkpoint", "it has those at step 500"),
        ("running", (500,), None, "run", "has no finished model; it has checkpoints at step 500"),
        ("failed", (), None, "run", "has no finished model"),
        ("running", (500,), -1, "checkpoint", "greater than or equal to 0"),
        ("running", (500,), "last", "checkpoint", "valid integer"),
    ],
)
def test_what_a_run_lacks_is_said_with_what_it_has(
    client: TestClient, status: str, steps: tuple[int, ...], checkpoint: Any, key: str, words: str
) -> None:
    be_seen(client)
    model = {"run": run_of(client, status, *steps), "checkpoint": checkpoint}
    answer = client.post("/v1/previews", json={**ASKED, "model": model})
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert error["pointer"] == f"/model/{key}"
    assert words in error["detail"]
    assert answer.json()["hint"]
    with redis_client() as redis:
        assert not redis.llen(PREVIEW)


@pytest.mark.parametrize(
    ("model", "pointer"),
    [
        ({"run": "run_none"}, "/model/run"),
        ({"run": "run_none", "checkpoint": 5}, "/model/run"),
        ({"path": "/no/such/folder", "checkpoint": 5}, "/model"),
        ({"path": "/no/such/folder"}, "/model/path"),
        ({"hub": "/etc"}, "/model/hub"),
        ({"run": "a", "hub": "b"}, "/model"),
        ({"name": "x"}, "/model/name"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_it_is_sent(
    client: TestClient, model: dict[str, Any], pointer: str
) -> None:
    be_seen(client)
    answer = client.post("/v1/previews", json={**ASKED, "model": model})
    assert answer.status_code == 422, answer.text
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    with redis_client() as redis:
        assert not redis.llen(PREVIEW)

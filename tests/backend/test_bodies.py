"""What a client sends that cannot be used: refused with a problem, before anything is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from backend.limits import DEPTH_LIMIT, JSON_LIMIT
from entromask.settings import settings
from tests.backend.api import client, problem

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    patch = pytest.MonkeyPatch()
    patch.setenv("ENTROMASK_HOME", str(tmp_path_factory.mktemp("home")))
    settings.cache_clear()
    with client() as asking:
        yield asking
    patch.undo()
    settings.cache_clear()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"{", "not JSON"),
        (b'{"spec": {"seed": NaN}}', "NaN"),
        (b'{"spec": {"seed": -Infinity}}', "Infinity"),
        (b'{"spec": {"seed": 1e999}}', "too large"),
        (b'{"spec": {"name": "\xff"}}', "UTF-8"),
        (b'{"spec": {"name": "a\\u0000b"}}', "U+0000"),
        (b'{"spec": {"a\\u0000b": 1}}', "U+0000"),
        (b'{"spec": {"name": "\\ud800"}}', "surrogate"),
        (b'{"spec": {"seed": ' + b"1" * 5000 + b"}}", "digits"),
        (b'{"spec": ' + b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT + b"}", "deep"),
        (b"[" * 400_000, "deep"),
    ],
    ids=range(11),
)
def test_a_body_that_is_no_sound_json_is_refused(api: TestClient, body: bytes, word: str) -> None:
    found = problem(api.post("/v1/runs", content=body, headers=JSON), 400, "invalid_json")
    assert word in found["detail"]


def test_a_body_of_the_largest_depth_is_read(api: TestClient) -> None:
    # Five levels are around it: the body, spec, and what a value is in.
    inner = DEPTH_LIMIT - 5
    body = b'{"spec": {"x": ' + b"[" * inner + b"]" * inner + b"}}"
    problem(api.post("/v1/runs", content=body, headers=JSON), 422, "invalid_spec")


@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"", b"{}", b'{"spec": 3}'])
def test_json_of_another_shape_is_refused(api: TestClient, body: bytes) -> None:
    problem(api.post("/v1/runs", content=body, headers=JSON), 422, "invalid_request")


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(api: TestClient) -> None:
    large = b'{"spec": {"name": "' + b"x" * JSON_LIMIT + b'"}}'
    problem(api.post("/v1/runs", content=large, headers=JSON), 413, "body_too_large")
    pieces = iter([large[:1000], large[1000:]])
    problem(api.post("/v1/runs", content=pieces, headers=JSON), 413, "body_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "", "json"])
def test_a_body_of_another_type_is_refused(api: TestClient, kind: str) -> None:
    answer = api.post("/v1/runs", content=b'{"spec": {}}', headers={"Content-Type": kind})
    problem(answer, 415, "unsupported_media_type")


def test_a_key_given_twice_is_no_error(api: TestClient) -> None:
    answer = api.post(
        "/v1/runs?validate_only=true",
        content=b'{"spec": {"seed": 1, "seed": 2}}',
        headers=JSON,
    )
    assert answer.json()["spec"]["seed"] == 2


def test_addresses_that_are_none_are_problems(api: TestClient) -> None:
    problem(api.get("/v1/nothing"), 404, "not_found")
    problem(api.get("/v1/runs/"), 404, "not_found")
    problem(api.put("/v1/runs"), 405, "method_not_allowed")
    problem(api.get("/v1/runs?q=%00"), 400, "bad_request")
    problem(api.get("/v1/runs/a%00b"), 400, "bad_request")
    problem(api.get("/docs"), 404, "not_found")


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "limit=1e99"])
def test_a_parameter_out_of_range_is_named(api: TestClient, query: str) -> None:
    found = problem(api.get(f"/v1/runs?{query}"), 422, "invalid_request")
    assert found["errors"][0]["pointer"] == "limit"


def test_a_crash_is_answered_without_its_traceback_and_logged_with_an_id(
    api: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("a secret of the server")

    # What breaks here is ours on purpose: no request can make the API fail like this.
    monkeypatch.setattr("backend.routes.runs.list_runs", crash)
    answer = api.get("/v1/runs")
    found = problem(answer, 500, "internal")
    assert "secret" not in answer.text
    request = answer.headers["x-request-id"]
    assert request in found["hint"]
    assert any(request in record.getMessage() and record.exc_info for record in caplog.records)


def test_a_full_disk_is_said_and_nothing_is_stored(
    api: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A file stands where the folder of runs should be made.
    blocked = tmp_path / "home"
    blocked.mkdir()
    (blocked / "runs").write_text("")
    before = len(api.get("/v1/runs").json()["data"])
    monkeypatch.setattr(settings(), "home", blocked)
    problem(api.post("/v1/runs", json={"spec": {}}), 503, "disk_full")
    assert len(api.get("/v1/runs").json()["data"]) == before

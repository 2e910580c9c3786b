"""What a run brings forth, over HTTP: events, log, metrics, results, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from backend.db.engine import Database
from backend.store.feed import feed
from backend.store.locks import get_run
from backend.store.runs import keep_results
from entromask.run_folder import write_json
from entromask.settings import settings
from entromask.training.checkpoint import save_checkpoint
from tests.backend.api import client, problem, submitted


@pytest.fixture
def api(home: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", database.url)
    settings.cache_clear()
    with client() as asking:
        yield asking


@pytest.fixture
def run(api: TestClient) -> str:
    return str(submitted(api)["id"])


def events(count: int, first: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "seq": seq,
            "time": "2026-01-01T00:00:00.000+00:00",
            "type": "metrics",
            "stage": "pretraining",
            "step": seq,
            "metrics": {"loss": 1 / seq, "flops": float("nan")},
        }
        for seq in range(first, first + count)
    ]


def messages(text: str) -> list[dict[str, str]]:
    """Server-sent events, by the rules of the standard."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if "data" in fields:
            found.append(fields)
    return found


def test_events_come_in_pages_without_gap(api: TestClient, database: Database, run: str) -> None:
    with database.write() as session:
        feed(session, run, "run", events(25))
    seen, after = [], "0"
    while True:
        page = api.get(f"/v1/runs/{run}/events", params={"after": after, "limit": 10}).json()
        seen += page["data"]
        if not page["has_more"]:
            break
        after = page["next"]
    assert [event["seq"] for event in seen] == list(range(1, 26))
    assert seen[0]["metrics"] == {"loss": 1.0, "flops": None}
    assert seen[0]["source"] == "run"


def test_events_of_some_types_are_found_among_the_others(
    api: TestClient, database: Database, run: str
) -> None:
    kinds = ["stage", "metrics", "plateau", "metrics", "result", "metrics"]
    told = [
        {"seq": n, "time": "2026-01-01T00:00:00Z", "type": kind, "stage": "pretraining"}
        for n, kind in enumerate(kinds, start=1)
    ]
    with database.write() as session:
        feed(session, run, "run", told)
    url = f"/v1/runs/{run}/events"
    page = api.get(url, params={"type": "plateau,result", "limit": 1}).json()
    assert [event["type"] for event in page["data"]] == ["plateau"]
    assert page["has_more"]
    rest = api.get(url, params={"type": "plateau,result", "after": page["next"]}).json()
    assert [(event["seq"], event["type"]) for event in rest["data"]] == [(5, "result")]
    assert api.get(url, params={"type": "nothing"}).json()["data"] == []


def test_a_stream_sends_what_there_is_then_ends_with_the_run(
    api: TestClient, database: Database, run: str
) -> None:
    with database.write() as session:
        feed(session, run, "run", events(3))
    api.post(f"/v1/runs/{run}/cancel")
    headers = {"Accept": "text/event-stream"}
    answer = api.get(f"/v1/runs/{run}/events", headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = messages(answer.text)
    assert [message["event"] for message in found] == ["event"] * 3 + ["progress", "end"]
    assert [message.get("id") for message in found] == ["1", "2", "3", None, None]
    assert json.loads(found[3]["data"])["status"] == "cancelled"
    assert json.loads(found[4]["data"]) == {"status": "cancelled"}


@pytest.mark.parametrize(("known", "expected"), [("2", ["3"]), ("x", ["1", "2", "3"]), ("9", [])])
def test_a_stream_is_taken_up_behind_the_last_event_id(
    api: TestClient, database: Database, run: str, known: str, expected: list[str]
) -> None:
    with database.write() as session:
        feed(session, run, "run", events(3))
    api.post(f"/v1/runs/{run}/cancel")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": known}
    found = messages(api.get(f"/v1/runs/{run}/events", headers=headers).text)
    assert [message["id"] for message in found if message["event"] == "event"] == expected
    assert found[-1]["event"] == "end"


def test_a_log_is_read_from_its_end_and_by_offset(api: TestClient, run: str) -> None:
    address = f"/v1/runs/{run}/logs"
    assert api.get(address).text == ""
    lines = [f"line {number} é\n" for number in range(10)]
    (settings().runs / run / "log.txt").write_text("".join(lines), encoding="utf-8")
    assert api.get(address).text == "".join(lines)
    tail = api.get(address, params={"tail": 2})
    assert tail.text == "".join(lines[-2:])
    assert tail.headers["content-type"] == "text/plain; charset=utf-8"
    end = int(tail.headers["x-next-offset"])
    with (settings().runs / run / "log.txt").open("a", encoding="utf-8") as file:
        file.write("more\n")
    assert api.get(address, params={"offset": end}).text == "more\n"
    assert api.get(address, params={"offset": 10**9}).text == ""
    problem(api.get(address, params={"tail": -1}), 422, "invalid_request")


def test_a_long_log_comes_in_parts_of_whole_lines(api: TestClient, run: str) -> None:
    text = "".join(f"{number:09}\n" for number in range(250_000))
    (settings().runs / run / "log.txt").write_text(text)
    read, offset = "", 0
    while len(read) < len(text):
        answer = api.get(f"/v1/runs/{run}/logs", params={"offset": offset})
        assert answer.text.endswith("\n")
        read, offset = read + answer.text, int(answer.headers["x-next-offset"])
    assert read == text


def test_metrics_are_thinned_to_what_was_asked_for(
    api: TestClient, database: Database, run: str
) -> None:
    with database.write() as session:
        feed(session, run, "run", events(100))
    address = f"/v1/runs/{run}/metrics"
    answer = api.get(address, params={"keys": "loss", "max_points": 10})
    (series,) = answer.json()["series"].values()
    assert (len(series["steps"]), series["points"], series["steps"][-1]) == (10, 100, 100)
    tag = {"If-None-Match": answer.headers["etag"]}
    again = api.get(address, params={"keys": "loss", "max_points": 10}, headers=tag)
    assert again.status_code == 304
    assert set(api.get(address).json()["series"]) == {"loss", "flops"}
    assert api.get(address, params={"keys": "nothing"}).json()["series"] == {}


def test_a_run_that_did_not_report_its_scoring_has_it_from_its_results(
    api: TestClient, database: Database, run: str
) -> None:
    address, keys = f"/v1/runs/{run}/metrics", {"keys": "loss,scoring_flops,scoring_seconds"}
    with database.write() as session:
        feed(session, run, "run", events(10))
        keep_results(session, run, {"cost": {"scoring_flops": 2e12, "scoring_seconds": 26}})
    series = api.get(address, params=keys).json()["series"]
    assert series["scoring_flops"] == {"steps": [0], "values": [2e12], "points": 1}
    assert series["scoring_seconds"] == {"steps": [0], "values": [26.0], "points": 1}
    assert set(api.get(address, params={"keys": "loss"}).json()["series"]) == {"loss"}


def test_results_are_told_once_there_are_any(api: TestClient, database: Database, run: str) -> None:
    body = problem(api.get(f"/v1/runs/{run}/results"), 404, "no_results")
    assert "is queued" in body["detail"]
    results = {
        "tasks": {"rte": {"score": 0.5}, "cola": {"score": None}},
        "averages": {"glue8": None, "available": {"tasks": ["rte"], "value": 0.5}},
    }
    with database.write() as session:
        keep_results(session, run, results)
    assert api.get(f"/v1/runs/{run}/results").json() == results
    assert api.get(f"/v1/runs/{run}").json()["scores"] == {"rte": 0.5, "available": 0.5}


def test_files_of_a_run_are_listed_and_nothing_that_leads_out_of_it(
    api: TestClient, run: str, tmp_path: Path
) -> None:
    folder = settings().runs / run
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / ".hidden").write_text("x")
    (folder / "inside").symlink_to(folder / "spec.yaml")
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "elsewhere").symlink_to(tmp_path)
    (folder / "loop").symlink_to("loop")
    page = api.get(f"/v1/runs/{run}/artifacts").json()
    assert [file["path"] for file in page["data"]] == ["inside", "model/config.json", "spec.yaml"]
    for path in (
        "outside",
        "loop",
        ".hidden",
        "model",
        "elsewhere/home/entromask.db",
        "..%2f..%2fentromask.db",
        "%2e%2e/%2e%2e/entromask.db",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "x" * 400,
        "spec.yaml/x",
    ):
        problem(api.get(f"/v1/runs/{run}/artifacts/{path}"), 404, "not_found")


def test_the_checkpoints_of_a_running_run_are_among_its_files(
    api: TestClient, database: Database, run: str
) -> None:
    with database.write() as session:
        found = get_run(session, run, lock=True)
        assert found is not None
        found.status = "running"
    for step in (500, 1000):
        save_checkpoint(
            settings().runs / run / "checkpoints",
            step,
            {"model": {"w": torch.zeros(3)}},
            {},
            lambda place: write_json(place / "config.json", {}),
        )
    building = settings().runs / run / "checkpoints" / ".step-1500.building"
    building.mkdir()
    (building / "model.safetensors").write_bytes(b"half")
    page = api.get(f"/v1/runs/{run}/artifacts").json()
    names = [file["path"] for file in page["data"] if file["path"].endswith("model.safetensors")]
    assert names == [f"checkpoints/step-{step}/model.safetensors" for step in (1000, 500)]
    assert "checkpoints/step-500/config.json" in [file["path"] for file in page["data"]]
    assert not any("1500" in file["path"] for file in page["data"])


def test_a_file_is_downloaded_whole_or_in_ranges(api: TestClient, run: str) -> None:
    content = bytes(range(256)) * 10
    (settings().runs / run / 'a "b".bin').write_bytes(content)
    address = f"/v1/runs/{run}/artifacts/a%20%22b%22.bin"
    whole = api.get(address)
    assert whole.content == content
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "application/octet-stream"
    assert whole.headers["content-disposition"].startswith("attachment; filename*=utf-8''a%20%22b")
    tag = whole.headers["etag"]
    part = api.get(address, headers={"Range": "bytes=10-19", "If-Range": tag})
    assert (part.status_code, part.content) == (206, content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(content)}"
    assert api.get(address, headers={"Range": "bytes=-5"}).content == content[-5:]
    assert api.get(address, headers={"If-None-Match": tag}).status_code == 304
    for bad in ("bytes=99999-", "bytes=9-3", "lines=1-2", "bytes=", "bytes=-", "bytes=-0"):
        answer = api.get(address, headers={"Range": bad})
        problem(answer, 416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{len(content)}"

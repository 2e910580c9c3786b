"""The page of the service itself."""

from __future__ import annotations

from typing import Any

from entromask.client import ApiError
from entromask.resources import ApiKey, Queue, Worker
from tests.frontend.conftest import Open, words
from tests.frontend.fake import NOW, FakeClient

DISK = {"used": 60_000_000_000, "total": 100_000_000_000, "free": 40_000_000_000}


def a_worker(number: int, **changes: Any) -> Worker:
    return Worker.model_validate(
        {
            "id": f"worker_{number}",
            "host": f"box-{number}",
            "pid": 100 + number,
            "queue": "train",
            "status": "idle",
            "memory": {"used": 8_000_000_000, "total": 64_000_000_000},
            "disk": DISK,
            "versions": {"entromask": "0.1.0", "torch": "2.13.0"},
            "started_at": NOW,
            "seen_at": NOW + 60,
        }
        | changes
    )


def a_service(*workers: Worker, **answers: Any) -> FakeClient:
    queue = {"broker": "up", "queued": 3, "running": 2, "waiting": 1, "workers": len(workers)}
    given: dict[str, Any] = {
        "workers": list(workers),
        "queue": Queue.model_validate(queue | {"disk": DISK}),
        "keys": [],
        "version": "0.1.0",
    }
    return FakeClient(**given | answers)


def test_a_worker_shows_its_devices_and_leads_to_the_run_of_its_job(open_page: Open) -> None:
    gpu = {
        "name": "H200",
        "utilization": 0.87,
        "memory_used": 40_000_000_000,
        "memory_total": 140_000_000_000,
    }
    job = {"id": "job_1", "run": "run_1", "kind": "cell", "name": "rte seed 0", "attempt": 1}
    app = open_page("system", a_service(a_worker(1, status="busy", job=job, gpus=[gpu])))
    assert not app.exception
    for shown in ("box-1, process 101", "H200 (87 %)", "40 GB of 140 GB", "8 GB of 64 GB", "40 GB"):
        assert shown in words(app)
    assert "href='run?id=run_1'" in words(app)
    assert "rte seed 0" in words(app)


def test_the_queue_is_counted_and_busy_workers_too(open_page: Open) -> None:
    busy = a_worker(1, status="busy")
    app = open_page("system", a_service(busy, a_worker(2), a_worker(3, queue="preview")))
    found = {metric.label: metric.value for metric in app.metric}
    assert found["Jobs in the queue"] == "3"
    assert found["Train workers busy"] == "1 of 2"
    assert found["Disk free"] == "40 GB"


def test_without_a_train_worker_it_says_that_runs_wait_and_how_to_start_one(
    open_page: Open,
) -> None:
    app = open_page("system", a_service(a_worker(1, queue="preview")))
    assert "entromask up" in app.warning[0].value


def test_a_redis_that_is_away_is_said(open_page: Open) -> None:
    fake = a_service(a_worker(1))
    fake.answers["queue"] = fake.answers["queue"].model_copy(update={"broker": "down"})
    assert "Redis cannot be reached" in open_page("system", fake).error[0].value


def test_workers_of_different_versions_are_told_apart(open_page: Open) -> None:
    old = a_worker(2, versions={"torch": "2.11.0"})
    text = words(open_page("system", a_service(a_worker(1), old)))
    assert "2.13.0" in text
    assert "2.11.0" in text


def test_keys_are_shown_by_name_and_never_whole(open_page: Open) -> None:
    key = ApiKey(
        id="key_1", name="ana", role="write", prefix="em_abc", created_at=NOW, revoked_at=NOW + 5
    )
    text = words(open_page("system", a_service(a_worker(1), keys=[key])))
    assert "ana" in text
    assert "revoked" in text
    assert "never" in text


def test_somebody_who_may_not_see_the_keys_sees_the_rest(open_page: Open) -> None:
    refused = ApiError("a key with the role admin", None, status=403, code="forbidden")
    app = open_page("system", a_service(a_worker(1), keys=refused))
    assert not app.error
    assert "role admin" in words(app)
    assert "box-1" in words(app)


def test_many_workers_are_a_row_each(open_page: Open) -> None:
    text = words(open_page("system", a_service(*(a_worker(n) for n in range(40)))))
    assert all(f"box-{n}, process" in text for n in range(40))


def test_an_api_that_is_away_is_said_and_its_return_shows_the_page(open_page: Open) -> None:
    fake = a_service(a_worker(1))
    fake.away = True
    app = open_page("system", fake)
    assert not app.exception
    assert "no Entromask service answers" in app.error[0].value
    fake.away = False
    app.run()
    assert not app.error
    assert "box-1" in words(app)

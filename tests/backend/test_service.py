"""The service's own state over HTTP; and a database that goes away and comes back."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import httpx
import psycopg
import pytest
from starlette.testclient import TestClient

from backend.db.engine import Database
from backend.store import jobs
from backend.store.feed import feed
from backend.store.workers import report_worker
from entromask.embedded_redis import EmbeddedRedis
from entromask.settings import settings
from tests.backend.api import SPEC, client, database_of, problem, served, submitted
from tests.backend.conftest import Postgres
from tests.backend.test_run_data import events, messages


@pytest.fixture
def api(home: Path) -> Iterator[TestClient]:
    with client() as asking:
        yield asking


def test_queue_and_workers_tell_who_has_which_job(api: TestClient) -> None:
    database: Database = api.app.state.database  # type: ignore[attr-defined]
    run = submitted(api)["id"]
    before = api.get("/v1/queue").json()
    assert (before["queued"], before["running"], before["workers"]) == (1, 0, 0)
    assert before["oldest_queued_at"] <= time.time()
    with database.write() as session:
        for name in ("w1", "w2"):
            report_worker(session, name, host="h", pid=1, queue="train", state={"gpus": []})
        assert jobs.claim(session, f"{run.replace('run_', 'job_')}_0", "w1", 30)
    one, two = api.get("/v1/workers").json()["data"]
    assert (one["status"], one["job"]["run"], one["job"]["kind"]) == ("busy", run, "pretrain")
    assert (two["status"], two["job"], two["disk"]) == ("idle", None, None)
    after = api.get("/v1/queue").json()
    assert (after["queued"], after["running"], after["workers"]) == (0, 1, 2)


def test_health_tells_the_version(api: TestClient) -> None:
    assert api.get("/healthz").json() == {"status": "ok", "version": version("entromask")}


def test_the_queue_tells_the_room_for_runs_on_this_machine(api: TestClient) -> None:
    disk = api.get("/v1/queue").json()["disk"]
    assert disk["total"] == shutil.disk_usage(settings().root).total
    assert 0 < disk["free"] <= disk["total"] - disk["used"]


def test_a_worker_shows_the_disk_that_it_told_of(api: TestClient) -> None:
    disk = {"used": 1, "total": 4, "free": 2}
    with database_of(api).write() as session:
        state = {"disk": disk}
        report_worker(session, "w", host="h", pid=1, queue="train", state=state)
    assert api.get("/v1/workers").json()["data"][0]["disk"] == disk


def test_the_queue_tells_whether_redis_is_there(redis: EmbeddedRedis, api: TestClient) -> None:
    assert api.get("/v1/queue").json()["broker"] == "up"
    redis.stop()
    assert api.get("/v1/queue").json()["broker"] == "down"
    # A run is taken all the same: it is sent once Redis is back.
    assert submitted(api)["status"] == "queued"


def test_prometheus_counts_requests_by_route_and_runs_by_status(api: TestClient) -> None:
    run = submitted(api)["id"]
    api.get(f"/v1/runs/{run}")
    api.get("/v1/runs/other")
    text = api.get("/metrics").text
    assert 'entromask_runs{status="queued"} 1.0' in text
    assert 'entromask_jobs{status="waiting"}' in text
    line = 'entromask_requests_total{method="GET",route="/v1/runs/{run_id}",status="%d"} 1.0'
    assert line % 200 in text
    assert line % 404 in text


@pytest.mark.postgres
def test_tables_of_another_version_are_not_served(
    home: Path, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", postgres.url("template1"))
    settings.cache_clear()
    with pytest.raises(Exception, match="another version"), client():
        pass


@pytest.mark.postgres
@pytest.mark.slow
def test_a_stream_outlives_a_database_that_is_away(tmp_path: Path, postgres: Postgres) -> None:
    """The server's connections are cut and new ones refused, as when Postgres restarts."""
    postgres.create("away", "migrated")
    database = Database(postgres.url("away"))
    collected: list[str] = []
    with served(tmp_path / "home", ENTROMASK_DATABASE_URL=database.url) as address:
        run = httpx.post(f"{address}/v1/runs", json={"spec": SPEC}).json()["id"]

        def follow() -> None:
            headers = {"Accept": "text/event-stream"}
            events_at = f"{address}/v1/runs/{run}/events"
            with httpx.stream("GET", events_at, headers=headers, timeout=120) as stream:
                collected.extend(stream.iter_text())

        follower = threading.Thread(target=follow)
        follower.start()
        with database.write() as session:
            feed(session, run, "run", events(2))
        until(lambda: "id: 2\n" in "".join(collected))
        database.close()
        admin = psycopg.connect(postgres.address, autocommit=True)
        admin.execute('ALTER DATABASE "away" ALLOW_CONNECTIONS false')
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname='away'")
        body = problem(httpx.get(f"{address}/readyz"), 503, "database_unavailable")
        assert "cannot be reached" in body["detail"]
        problem(httpx.get(f"{address}/v1/runs"), 503, "database_unavailable")
        assert httpx.get(f"{address}/healthz").status_code == 200
        admin.execute('ALTER DATABASE "away" ALLOW_CONNECTIONS true')
        admin.close()
        with database.write() as session:
            feed(session, run, "run", events(2, first=3))
        assert httpx.post(f"{address}/v1/runs/{run}/cancel").status_code == 200
        follower.join(60)
    found = messages("".join(collected))
    ids = [message["id"] for message in found if message["event"] == "event"]
    assert ids == ["1", "2", "3", "4"]
    assert found[-1]["event"] == "end"
    database.close()
    postgres.drop("away")


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)

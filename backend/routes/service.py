"""The service itself: its health, its queue, its workers, its counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request, Response, Security
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import RedisError
from sqlalchemy.orm import Session

from backend.auth import bearer
from backend.db.engine import Database
from backend.db.migrate import is_current
from backend.dependencies import Db, answer, api_router
from backend.paging import page
from backend.problems import ProblemError, responses
from backend.queue import redis_client
from backend.store.overview import jobs_by_status, oldest_queued, runs_by_status
from backend.store.states import RUN_STATUSES
from backend.store.workers import list_workers
from backend.views import worker_view
from entromask.disk import disk_room
from entromask.resources import Health, Page, Queue, Worker
from entromask.settings import settings

router = api_router("service")
health = APIRouter(tags=["service"])

_STATUS = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
_OK: dict[str, Any] = {
    "description": "it does",
    "content": {"application/json": {"schema": _STATUS, "example": {"status": "ok"}}},
}


def _workers(session: Session) -> list[dict[str, Any]]:
    """The workers that were seen within two leases: the others are gone."""
    found = list_workers(session, seen_within=2 * settings().lease_seconds)
    return list({worker.id: worker_view(worker, job) for worker, job in found}.values())


@health.get(
    "/healthz",
    operation_id="check_health",
    summary="Whether the API answers, and of which version it is",
    response_model=Health,
    responses={200: {"description": "it does"}, **responses(400, 403)},
)
async def healthz(request: Request) -> Response:
    return answer({"status": "ok", "version": request.app.version})


@health.get(
    "/readyz",
    operation_id="check_readiness",
    summary="Whether the API can do its work: the database is there and up to date",
    responses={200: _OK, **responses(400, 403, 503)},
)
def readyz(database: Db) -> Response:
    if not is_current(database):
        raise ProblemError(
            "database_unavailable",
            "the database's tables are of another version",
            "run: python -m backend.db.migrate",
        )
    return answer({"status": "ok"})


@router.get(
    "/queue",
    operation_id="read_queue",
    summary="How much waits, and whether it can be sent",
    response_model=Queue,
)
def queue(database: Db) -> Response:
    with database.read() as session:
        jobs, oldest = jobs_by_status(session), oldest_queued(session)
        workers = len(_workers(session))
    return answer(
        {
            "object": "queue",
            "broker": "up" if _broker_is_up() else "down",
            **{state: jobs.get(state, 0) for state in ("queued", "running", "waiting")},
            "oldest_queued_at": oldest,
            "workers": workers,
            "disk": disk_room(settings().runs),
        }
    )


def _broker_is_up() -> bool:
    client = redis_client()
    try:
        return bool(client.ping())
    except (RedisError, OSError):
        return False
    finally:
        client.close()


@router.get(
    "/workers",
    operation_id="list_workers",
    summary="The workers, their devices and jobs",
    response_model=Page[Worker],
)
def workers(database: Db) -> Response:
    with database.read() as session:
        return answer(page(_workers(session)))


class _State(Collector):
    """What the database says, read when it is asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        with self._database.read() as session:
            runs, jobs = runs_by_status(session), jobs_by_status(session)
            workers = len(_workers(session))
        by_status = GaugeMetricFamily("entromask_runs", "Runs, by status", labels=["status"])
        for status in RUN_STATUSES:
            by_status.add_metric([status], runs.get(status, 0))
        yield by_status
        waiting = GaugeMetricFamily("entromask_jobs", "Jobs to do, by status", labels=["status"])
        for status in ("waiting", "queued", "running"):
            waiting.add_metric([status], jobs.get(status, 0))
        yield waiting
        yield GaugeMetricFamily("entromask_workers", "Workers that are alive", workers)


@health.get(
    "/metrics",
    operation_id="read_service_metrics",
    summary="Counters for Prometheus",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "in Prometheus' text format"},
        **responses(400, 401, 403, 429, 503),
    },
    dependencies=[Security(bearer)],
)
def prometheus(request: Request, database: Db) -> Response:
    state = CollectorRegistry()
    state.register(_State(database))
    text = generate_latest(state) + generate_latest(request.app.state.requests.registry)
    return Response(text, media_type=CONTENT_TYPE_LATEST)

"""The service itself, as the API shows it: workers, the queue, keys, health."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from entromask.wire.base import Resource

Role = Literal["read", "write", "admin"]


class Disk(Resource):
    """The disk that ENTROMASK_HOME/runs is on, in bytes."""

    used: int
    total: int
    free: int = Field(description="what may still be written; a reserve of root's is left out")


class Worker(Resource):
    """A worker process, its devices and the job that it has."""

    id: str
    object: Literal["worker"] = "worker"
    host: str
    pid: int
    queue: str
    status: Literal["starting", "idle", "busy", "stopping"]
    job: dict[str, Any] | None = Field(None, description="id, run, kind, name, attempt")
    memory: dict[str, Any] | None = Field(None, description="of the host, in bytes: used, total")
    disk: Disk | None = Field(None, description="of the worker's machine")
    gpus: list[dict[str, Any]] = Field(
        default=[], description="name, utilization (0 to 1), memory_used and memory_total in bytes"
    )
    versions: dict[str, str] = Field({})
    started_at: float
    seen_at: float


class Queue(Resource):
    """How much waits, and whether it can be sent."""

    object: Literal["queue"] = "queue"
    broker: Literal["up", "down"]
    queued: int
    running: int
    waiting: int
    oldest_queued_at: float | None = None
    workers: int
    disk: Disk | None = Field(None, description="of the API's machine")


class Health(Resource):
    """The answer to GET /healthz."""

    status: Literal["ok"] = "ok"
    version: str = Field(description="of the service", examples=["0.1.0"])


class ApiKey(Resource):
    """A key of the API, without its secret, which nobody keeps."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    role: Role
    prefix: str = Field(description="the first characters of the secret")
    created_at: float
    used_at: float | None = Field(None, description="the last request with it, to the minute")
    revoked_at: float | None = None

"""Rows of the database as the API shows them: plain data, fields as in `entromask.resources`."""

from __future__ import annotations

from typing import Any

from backend.db.tables import Event, Job, Run, Worker

_AS_THEY_ARE = ("name", "status", "reason")
_METHOD = ("spec", "spec_hash", "group_hash", "seed", "strategy", "experiment_id", "tags", "notes")
_COURSE = ("priority", "attempt", "worker", "created_at", "started_at", "finished_at", "metrics")
_EVENT = ("time", "type", "stage", "step", "total", "metrics", "message")


def run_view(run: Run) -> dict[str, Any]:
    """A run, as `resources.Run`."""
    view: dict[str, Any] = {"id": run.id, "object": "run"}
    view |= {name: getattr(run, name) for name in _AS_THEY_ARE}
    view["error"] = _error(run)
    view["stage"], view["progress"] = run.stage, run.progress
    view |= {name: getattr(run, name) for name in (*_METHOD, *_COURSE)}
    view["scores"] = scores(run.results)
    view["warnings"] = run.warnings
    return view


def _error(run: Run) -> dict[str, Any] | None:
    if run.reason is None:
        return None
    return {"code": run.reason, "message": run.message or run.reason, "hint": run.hint}


def scores(results: dict[str, Any] | None) -> dict[str, float]:
    """By task, and the averages that there are."""
    if not results:
        return {}
    found = {name: task.get("score") for name, task in (results.get("tasks") or {}).items()}
    for name, average in (results.get("averages") or {}).items():
        found[name] = average.get("value") if isinstance(average, dict) else average
    return {name: score for name, score in found.items() if score is not None}


def event_view(event: Event) -> dict[str, Any]:
    """An event, as `resources.Event`."""
    data = event.data
    view: dict[str, Any] = {"object": "run.event", "seq": event.seq}
    view |= {name: data.get(name) for name in _EVENT}
    view["source"] = event.source
    return view


def worker_view(worker: Worker, job: Job | None) -> dict[str, Any]:
    """A worker, as `resources.Worker`."""
    state = worker.state
    status = "busy" if job else state.get("status", "idle")
    return {
        "id": worker.id,
        "object": "worker",
        "host": worker.host,
        "pid": worker.pid,
        "queue": worker.queue,
        "status": "stopping" if worker.stopping else status,
        "job": _job(job),
        "memory": state.get("memory"),
        "disk": state.get("disk"),
        "gpus": state.get("gpus") or [],
        "versions": state.get("versions") or {},
        "started_at": worker.started_at,
        "seen_at": worker.seen_at,
    }


def _job(job: Job | None) -> dict[str, Any] | None:
    if job is None:
        return None
    return {
        "id": job.id,
        "run": job.run_id,
        "kind": job.kind,
        "name": job.name,
        "attempt": job.attempt,
    }

"""What the service runs on: its workers with their devices, its queue, its disk, its keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from entromask.client import ApiError
from entromask.resources import ApiKey, Queue, Worker
from frontend.parts.tables import Cell, table
from frontend.parts.words import ago, percent, size
from frontend.routes import link, url
from frontend.session import client, guarded

_EVERY = 5.0
_NONE = "–"
# What a worker's versions are worth showing of.
_SERVICE = ("entromask", "python", "torch", "transformers")


@st.fragment(run_every=_EVERY)
def shown() -> None:
    """The whole page; it shows itself again and again."""
    with guarded():
        queue, workers = client().queue(), client().workers()
        figures(queue, workers)
        st.header("Workers")
        worker_table(workers)
        st.header("API keys")
        key_table(_keys())
        st.header("Versions")
        versions(workers)


def figures(queue: Queue, workers: Sequence[Worker]) -> None:
    """The state of the service at a glance."""
    train = [worker for worker in workers if worker.queue == "train"]
    busy = sum(worker.status == "busy" for worker in train)
    with st.container(horizontal=True):
        for label, value, help_ in (
            ("Jobs in the queue", f"{queue.queued}", "a run is several jobs"),
            ("Jobs at work", f"{queue.running}", None),
            ("Jobs that wait", f"{queue.waiting}", "for another job, or for another run's model"),
            ("Train workers busy", f"{busy} of {len(train)}", None),
            (
                "Disk free",
                size(queue.disk.free if queue.disk else None),
                "where the API keeps the runs",
            ),
        ):
            st.metric(label, value, help=help_, width="content", border=True)
    if queue.broker == "down":
        st.error(
            "Redis cannot be reached: what is submitted waits in the database, and is sent when "
            "it is back."
        )
    if not train:
        st.warning(
            "No train worker is running, so runs wait. `entromask up` starts one; on another "
            "machine: `python -m worker --queue train`."
        )
    elif queue.oldest_queued_at is not None:
        st.caption(f"The oldest job in the queue was queued {ago(queue.oldest_queued_at)}.")
    link("Runs that are queued", "runs", status="queued")


def worker_table(workers: Sequence[Worker]) -> None:
    """One row a worker: what it does and on what."""
    if not workers:
        st.info("No worker has been seen lately.")
        return
    head = [
        "Worker",
        "Queue",
        "State",
        "Job",
        "GPU",
        "GPU memory",
        "Host memory",
        "Disk free",
        "Up",
    ]
    table(head, [_worker(worker) for worker in workers], numbers=(5, 6, 7, 8))


def _worker(worker: Worker) -> list[str | Cell]:
    job = worker.job
    doing: str | Cell = _NONE
    if job:
        doing = Cell(str(job["name"]), href=url("run", id=str(job["run"])), title=str(job["run"]))
    gpus = worker.gpus
    return [
        Cell(f"{worker.host}, process {worker.pid}", title=worker.id),
        worker.queue,
        worker.status,
        doing,
        ", ".join(f"{gpu.get('name')} ({percent(gpu.get('utilization'))})" for gpu in gpus)
        or "CPU",
        ", ".join(_used(gpu.get("memory_used"), gpu.get("memory_total")) for gpu in gpus) or _NONE,
        _used((worker.memory or {}).get("used"), (worker.memory or {}).get("total")),
        size(worker.disk.free if worker.disk else None),
        ago(worker.started_at).removesuffix(" ago"),
    ]


def _used(used: Any, total: Any) -> str:
    return _NONE if used is None or total is None else f"{size(used)} of {size(total)}"


def _keys() -> list[ApiKey] | None:
    """The keys; None for somebody who may not see them."""
    try:
        return client().keys()
    except ApiError as error:
        if error.status != 403:
            raise
        return None


def key_table(keys: Sequence[ApiKey] | None) -> None:
    """The names of the keys, never the keys."""
    if keys is None:
        st.info("Only a key with the role admin shows the keys.")
        return
    if not keys:
        st.info(
            "No keys. On this machine alone none is needed; `entromask keys create NAME --role "
            "write` makes one for others."
        )
        return
    table(
        ["Name", "Role", "Begins with", "Created", "Last used", "State"],
        [
            [
                key.name,
                key.role,
                key.prefix,
                ago(key.created_at),
                ago(key.used_at) if key.used_at else "never",
                "revoked" if key.revoked_at else "valid",
            ]
            for key in keys
        ],
        numbers=(3, 4),
    )


def versions(workers: Sequence[Worker]) -> None:
    """One row a component and version; workers that differ from each other show."""
    rows: dict[tuple[str, str], int] = {}
    for worker in workers:
        for name in _SERVICE:
            if version := worker.versions.get(name):
                rows[name, version] = rows.get((name, version), 0) + 1
    found: list[list[str | Cell]] = [["API", client().version(), _NONE]]
    found += [[name, version, str(count)] for (name, version), count in sorted(rows.items())]
    table(["Component", "Version", "Workers"], found, numbers=(2,))


st.title("System")
shown()

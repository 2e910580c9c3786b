"""What a worker says of itself, every few seconds, from a thread of the Celery parent."""

from __future__ import annotations

import logging
import mmap
import os
import threading
from contextlib import suppress
from importlib import metadata
from typing import Any

import psutil
from celery.worker import state as celery_state

from backend.db.engine import Database
from backend.queue import TRAIN
from backend.store.workers import forget_worker, report_worker
from entromask.disk import disk_room
from entromask.durations import measured_speed
from entromask.settings import settings
from worker.patience import AWAY
from worker.records import first_line

_log = logging.getLogger("worker")

# Celery forks a new child while this thread runs: never in the middle of a call of the database,
# whose locks the child would inherit.
_one_at_a_time = threading.RLock()
os.register_at_fork(
    before=_one_at_a_time.acquire,
    after_in_parent=_one_at_a_time.release,
    after_in_child=_one_at_a_time.release,
)


class Heartbeat:
    """Reports a worker until it ends, and then removes it from the list.

    Args:
        ending: one shared byte, 1 once the worker is to end.
    """

    def __init__(self, worker: str, host: str, queue: str, ending: mmap.mmap) -> None:
        self._worker, self._host, self._queue, self._ending = worker, host, queue, ending
        self._database = Database(settings().database)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._versions = _versions()

    def start(self) -> None:
        """Begins to report; once more does nothing (Celery is ready again after each reconnect)."""
        if not self._thread.ident:
            self._thread.start()

    def end(self) -> None:
        """Removes the worker from the list."""
        self._end.set()
        if self._thread.ident:
            self._thread.join(10)
        with suppress(*AWAY), self._database.write() as session:
            forget_worker(session, self._worker)
        self._database.close()

    def _beat(self) -> None:
        away = False
        pause = min(5.0, settings().lease_seconds / 4)
        while True:
            try:
                with _one_at_a_time:
                    self._report()
                away = False
            except AWAY as error:
                if not away:
                    _log.warning("the database is away, reports wait: %s", first_line(error))
                away = True
            if self._end.wait(pause):
                return

    def _report(self) -> None:
        stopping = bool(self._ending[0])
        busy = bool(celery_state.active_requests)
        memory = psutil.virtual_memory()
        state: dict[str, Any] = {
            "status": "stopping" if stopping else "busy" if busy else "idle",
            "memory": {"used": memory.total - memory.available, "total": memory.total},
            "disk": disk_room(settings().runs),
            "gpus": gpus(),
            "versions": self._versions,
        }
        if self._queue == TRAIN and (speed := measured_speed()) is not None:
            state["speed"] = speed.data()
        with self._database.write() as session:
            report_worker(
                session,
                self._worker,
                host=self._host,
                pid=os.getpid(),
                queue=self._queue,
                state=state,
                stopping=stopping,
            )


def gpus() -> list[dict[str, Any]]:
    """The GPUs that this process may use, by the driver's own library; memory in bytes."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(pynvml, index) for index in _visible(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        _log.debug("the GPUs cannot be read: %s", error)
        return []
    finally:
        pynvml.nvmlShutdown()


def _visible(count: int) -> list[int]:
    """Indices that CUDA_VISIBLE_DEVICES leaves; names of another kind leave all."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return list(range(count))
    numbers = [word.strip() for word in chosen.split(",") if word.strip()]
    if not all(number.isdecimal() for number in numbers):
        return list(range(count))
    return [int(number) for number in numbers if int(number) < count]


def _gpu(pynvml: Any, index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = pynvml.nvmlDeviceGetName(handle)
    utilization = None
    with suppress(pynvml.NVMLError):  # a slice of a GPU does not say
        utilization = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    return {
        "name": name.decode() if isinstance(name, bytes) else name,
        "utilization": utilization,
        "memory_used": memory.used,
        "memory_total": memory.total,
    }


def _versions() -> dict[str, str]:
    found = {}
    for package in ("entromask", "torch", "transformers"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found

"""What a worker says of itself."""

from __future__ import annotations

import mmap
import shutil
import time
from pathlib import Path

import pytest

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.store.workers import list_workers
from backend.views import worker_view
from entromask.resources import Worker
from entromask.settings import settings
from worker.heartbeat import Heartbeat


@pytest.mark.usefixtures("home")
def test_a_worker_tells_the_memory_and_the_disk_of_its_machine() -> None:
    database = Database(settings().database)
    migrate(database)
    heartbeat = Heartbeat("w", "box", "train", mmap.mmap(-1, 1))
    heartbeat.start()
    try:
        deadline = time.monotonic() + 60
        found: list[Worker] = []
        while not found:
            assert time.monotonic() < deadline
            with database.read() as session:
                seen = list_workers(session, 60)
                found = [Worker.model_validate(worker_view(*one)) for one in seen]
    finally:
        heartbeat.end()
    (worker,) = found
    assert worker.memory is not None
    assert 0 < worker.memory["used"] < worker.memory["total"]
    assert worker.disk is not None
    # The folder of the runs is not there yet, its disk is.
    assert not settings().runs.exists()
    assert worker.disk.total == shutil.disk_usage(Path(settings().root)).total
    assert 0 < worker.disk.free < worker.disk.total
    with database.read() as session:
        assert list_workers(session, 60) == []
    database.close()

"""A real API in a process of its own, and a worker that does what a test tells it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from backend.db.engine import Database
from backend.store.feed import RUN, feed
from backend.store.jobs import Failure, claim, fail, succeed
from entromask.resources import Run


def until(done: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


class Api:
    """A real API in a process of its own, on a database in a home of its own."""

    def __init__(self, home: Path) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.home, self.url = home, f"http://127.0.0.1:{self.port}"
        home.mkdir(parents=True, exist_ok=True)
        self.database = Database(f"sqlite:///{home / 'entromask.db'}")
        self.start()

    def start(self) -> None:
        environment = {
            "ENTROMASK_HOME": str(self.home),
            "ENTROMASK_API_PORT": str(self.port),
            "ENTROMASK_RATE_LIMIT": "0",
            # No Redis in these tests: nothing listens there.
            "ENTROMASK_REDIS_URL": "redis://127.0.0.1:1",
        }
        with (self.home / "api.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "backend"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | environment,
            )
        until(self._ready)

    def _ready(self) -> bool:
        assert self.process.poll() is None, (self.home / "api.txt").read_text()
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)

    def folder(self, run: Run) -> Path:
        found = self.home / "runs" / run.id
        found.mkdir(parents=True, exist_ok=True)
        return found

    def tell(self, run: Run, *events: dict[str, Any]) -> None:
        """Stores events of the run's process, as a worker does."""
        with self.database.write() as session:
            feed(session, run.id, RUN, [{"time": "t", **event} for event in events])

    def work(self, run: Run, fails: bool = False) -> None:
        """Does all jobs of a run, as a worker does, or lets the first one fail."""
        todo = [f"{run.id.replace('run_', 'job_', 1)}_0"]
        while todo:
            with self.database.write() as session:
                held = claim(session, todo.pop(0), "w", 60)
                assert held is not None
            with self.database.write() as session:
                if fails:
                    fail(session, held, Failure("user_error", "the corpus is empty", "give text"))
                else:
                    todo += succeed(session, held)

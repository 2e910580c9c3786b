"""Runs, workers and the reaper of one test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import select

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.db.tables import Job, Run
from backend.queue import send
from backend.store import jobs, runs
from backend.store.settle import settle
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.entromask.runs import events, small_spec

# Generous: other tests run beside, and a worker imports torch first.
PATIENCE = 240.0
ROOT = Path(__file__).parents[2]


class Stack:
    """Redis and a database are there; workers are started by the test."""

    def __init__(self, corpus: Path, redis_url: str) -> None:
        self.corpus = corpus
        settings.cache_clear()
        self._redis_url = redis_url
        self.database = Database(settings().database)
        migrate(self.database)
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
        """A worker, or `python -m` of something else; its log is worker.log in the home."""
        command = [sys.executable, "-m", *(arguments or ("worker", "--queue", "train"))]
        with (settings().root / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"ENTROMASK_REDIS_URL": self._redis_url} | environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def submit(self, **parts: Any) -> str:
        """Queues a small run, as the API does; its id."""
        spec = RunSpec.parse(small_spec(self.corpus, **parts)).resolved()
        with self.database.write() as session:
            run = runs.create_run(session, spec)
            messages = jobs.messages(session, [job.id for job in settle(session, run)])
            run_id = run.id
        assert send(messages)
        return run_id

    def stop_run(self, run_id: str, how: str) -> None:
        with self.database.write() as session:
            run = runs.get_run(session, run_id, lock=True)
            assert run is not None
            jobs.stop_run(session, run, how)

    def restart(self, run_id: str) -> None:
        with self.database.write() as session:
            run = runs.get_run(session, run_id, lock=True)
            assert run is not None
            messages = jobs.messages(session, jobs.restart(session, run))
        assert send(messages)

    def run(self, run_id: str) -> Run:
        with self.database.read() as session:
            run = runs.get_run(session, run_id)
            assert run is not None
            return run

    def job(self, run_id: str, name: str = "pretrain") -> Job:
        with self.database.read() as session:
            query = select(Job).where(Job.run_id == run_id, Job.name == name)
            return session.scalars(query).one()

    def folder(self, run_id: str) -> Path:
        return settings().runs / run_id

    def log(self) -> str:
        return (settings().root / "worker.log").read_text()

    def until(self, what: Callable[[], Any], words: str, patience: float = PATIENCE) -> Any:
        """Waits for something to be true; its value."""
        deadline = time.monotonic() + patience
        while True:
            value = what()
            if value:
                return value
            assert time.monotonic() < deadline, f"not so in time: {words}\n{self.log()[-3000:]}"
            time.sleep(0.02)

    def ended(self, run_id: str) -> Run:
        """The run, once it is over."""
        over = ("succeeded", "failed", "cancelled")
        self.until(lambda: self.run(run_id).status in over, f"{run_id} is over")
        return self.run(run_id)

    def trains(self, run_id: str, checkpoints: int = 1) -> int:
        """The process that pretrains a run, once it has written so many checkpoints."""
        folder = self.folder(run_id)

        def written() -> bool:
            return [event["type"] for event in events(folder)].count("checkpoint") >= checkpoints

        self.until(written, f"{run_id} has {checkpoints} checkpoints")
        return self.pid(self.job(run_id))

    def pid(self, job: Job) -> int:
        """The process of a running job, by the line in the worker's log."""
        start = f"start job={job.id} "
        end = f"attempt={job.attempt} pid="

        def found() -> str | None:
            lines = [line for line in self.log().splitlines() if start in line and end in line]
            return lines[-1].rpartition("=")[2] if lines else None

        return int(self.until(found, f"the process of {job.id}"))

    def close(self) -> None:
        """Ends every process that the test has started, and whatever these have left."""
        for process in self._processes:
            tree = _family(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            _, alive = psutil.wait_procs(tree, timeout=20)
            for orphan in alive:
                orphan.kill()
        self.database.close()


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Every process that a worker has started."""
    return _family(process.pid)


def is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

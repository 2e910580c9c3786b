"""A whole service in processes of its own, as `entromask up` runs it, and ways to hurt it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from entromask.client import Client
from entromask.resources import OVER, Run
from entromask.stack.marks import MARK
from tests.entromask.runs import events, small_spec, weights
from tests.up import free_port

LEASE = 4.0
STEPS = 300


def long_spec(text: Path, name: str) -> dict[str, Any]:
    """A few seconds of pretraining, with a checkpoint every half second or so."""
    pretraining = {
        "budget": {"steps": STEPS},
        "batch_size": 16,
        "sequence_length": 32,
        "learning_rate": 2e-3,
        "checkpoint_every": 25,
        "evaluate_every": 50,
    }
    # Results do not depend on a name.
    return small_spec(text, name=name, pretraining=pretraining)


def until(done: Callable[[], Any], what: str, seconds: float = 120) -> Any:
    """Waits for something to be true and returns it."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, f"never came to it: {what}"
        time.sleep(0.02)
    return found


def pretraining_steps(folder: Path) -> list[int]:
    """The steps of pretraining that the events tell of."""
    return [
        event["step"]
        for event in events(folder)
        if event.get("stage") == "pretraining" and "step" in event
    ]


class Service:
    """`entromask up` with an ENTROMASK_HOME and ports of its own."""

    def __init__(self, database_url: str | None) -> None:
        # Short: a socket lies in it.
        self.home = Path(tempfile.mkdtemp(prefix="em-faults-"))
        port = free_port()
        self.environment = {
            **os.environ,
            "ENTROMASK_HOME": str(self.home),
            "ENTROMASK_API_PORT": str(port),
            "ENTROMASK_DASHBOARD_PORT": str(free_port()),
            "ENTROMASK_LEASE_SECONDS": str(LEASE),
            "ENTROMASK_RATE_LIMIT": "0",
            "OMP_NUM_THREADS": "1",
        }
        for name in ("ENTROMASK_DATABASE_URL", "ENTROMASK_REDIS_URL", "ENTROMASK_API_URL"):
            self.environment.pop(name, None)
        if database_url is not None:
            self.environment["ENTROMASK_DATABASE_URL"] = database_url
        self.client = Client(f"http://127.0.0.1:{port}")
        self.up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.home / "up.txt").open("ab") as log:
            self.up = subprocess.Popen(
                [sys.executable, "-m", "entromask", "up"],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # One that finds work from before may be idle only when all of that is done.
        self.wait_for_worker("idle", "busy")

    def wait_for_worker(self, *states: str) -> None:
        """Until a worker is in one of the states, by default idle."""

        def there() -> bool:
            assert self.up is not None
            assert self.up.poll() is None, (self.home / "up.txt").read_text()
            try:
                return any(
                    worker.queue == "train" and worker.status in (states or ("idle",))
                    for worker in self.client.workers()
                )
            except Exception:
                return False

        until(there, f"a worker that is {' or '.join(states) or 'idle'}", 240)

    def stop(self) -> None:
        """As Ctrl-C does."""
        assert self.up is not None
        self.up.send_signal(signal.SIGINT)
        assert self.up.wait(120) == 0, (self.home / "up.txt").read_text()

    def remove(self) -> None:
        """Whatever happened: nothing of it stays."""
        if self.up is not None and self.up.poll() is None:
            self.up.kill()
            self.up.wait()
        for process in self.processes():
            process.kill()
        self.client.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def processes(self, part: str = "") -> list[psutil.Process]:
        """The living processes of a part, or of all, also those that lost their parent."""
        found = []
        for process in psutil.process_iter():
            try:
                environment = process.environ()
                ours = environment.get("ENTROMASK_HOME") == str(self.home)
                name = environment.get(MARK, "").rpartition("/")[2]
                alive = process.status() != psutil.STATUS_ZOMBIE
            except psutil.Error:
                continue
            if ours and alive and name and part in ("", name):
                found.append(process)
        return found

    def main_process(self, part: str) -> psutil.Process:
        """The first process of a part: the others descend from it."""
        # Redis writes its title over its environment: what `up` has noted down finds it.
        parts = json.loads((self.home / "up.json").read_text(encoding="utf-8"))["parts"]
        return psutil.Process(parts[part][0])

    def job_process(self) -> psutil.Process | None:
        """What trains now: the only process of the worker that leads a group, beside the first."""
        first = self.main_process("worker").pid
        found = [
            process
            for process in self.processes("worker")
            if process.pid != first and os.getpgid(process.pid) == process.pid
        ]
        return found[0] if found else None

    def celery_child(self) -> psutil.Process:
        """The child that supervises: not the server that jobs are forked from, nor its tracker."""
        children = self.main_process("worker").children()
        [child] = [
            child for child in children if not {"-c"} & set(child.cmdline()) and child.children()
        ]
        return child

    def folder(self, run: Run) -> Path:
        return self.home / "runs" / run.id

    def wait_for_a_random_step(self, run: Run) -> int:
        """Until pretraining is past a step that nobody chose; returns where it is."""
        wanted = random.randrange(20, STEPS - 60)

        def step() -> int:
            return max(pretraining_steps(self.folder(run)), default=0)

        until(lambda: step() >= wanted, f"step {wanted}")
        return step()

    def wait(self, run: Run, seconds: float = 180) -> Run:
        """The run once it is over; the API may be away meanwhile."""

        def over() -> Run | None:
            try:
                now = self.client.get_run(run)
            except Exception:
                return None
            return now if now.status in OVER else None

        found: Run = until(over, f"the end of {run.id}", seconds)
        return found


def check_undisturbed(service: Service, run: Run, undisturbed: dict[str, Any]) -> None:
    """The weights to the byte, the curve point for point, the events without gap."""
    assert weights(service.folder(run)) == undisturbed["weights"]
    series = service.client.metrics(run, keys=["training_loss"]).series["training_loss"]
    assert dict(zip(series.steps, series.values, strict=True)) == undisturbed["curve"]
    numbers = [event.seq for event in service.client.events(run)]
    assert numbers == list(range(1, len(numbers) + 1))

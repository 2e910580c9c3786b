"""A real `entromask up` in a process of its own, for tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil


def until(done: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A real `entromask up` in a process of its own."""

    def __init__(self, home: Path, port: int, *options: str) -> None:
        self.home, self.url = home, f"http://127.0.0.1:{port}"
        dashboard = free_port()
        self.dashboard = f"http://127.0.0.1:{dashboard}"
        self.environment = os.environ | {
            "ENTROMASK_HOME": str(home),
            "ENTROMASK_API_PORT": str(port),
            "ENTROMASK_API_URL": self.url,
            "ENTROMASK_DASHBOARD_PORT": str(dashboard),
            "ENTROMASK_LEASE_SECONDS": "5",
            "CUDA_VISIBLE_DEVICES": "",
        }
        home.mkdir(parents=True, exist_ok=True)
        self.output = home.parent / f"up-{port}-{time.monotonic_ns()}.txt"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from entromask.cli import main; main()", "up", *options],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.text
            return "Entromask is ready" in self.text

        until(ready, 240)

    def token(self) -> str:
        return str(json.loads((self.home / "up.json").read_text())["token"])

    def part(self, name: str) -> psutil.Process:
        """The main process of a part."""
        return psutil.Process(self.parts()[name])

    def parts(self) -> dict[str, int]:
        written = json.loads((self.home / "up.json").read_text())["parts"]
        return {name: pid for name, (pid, _) in written.items()}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=120)

"""A run in several processes on this machine, as torchrun starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml


@dataclass
class Launched:
    """The launcher and the output of each process: OUT/N.out and OUT/N.err."""

    process: subprocess.Popen[bytes]
    out: Path

    def wait(self, seconds: float = 570) -> int:
        """The exit code of the launcher, 0 only if that of every process is."""
        try:
            return self.process.wait(timeout=seconds)
        finally:
            if self.process.poll() is None:
                for child in [*self.workers(), self.process]:
                    child.kill()

    def workers(self) -> list[psutil.Process]:
        """The processes of the run, by rank."""
        children = psutil.Process(self.process.pid).children()
        ranked = [child for child in children if "RANK" in child.environ()]
        return sorted(ranked, key=lambda child: int(child.environ()["RANK"]))

    def text(self, rank: int, stream: str) -> str:
        """What a process has written to `stdout` or `stderr`."""
        files = self.out.glob(f"**/{rank}/{stream}.log")
        return "".join(file.read_text() for file in files)

    def errors(self) -> str:
        """The end of what all processes have written to stderr."""
        return "\n".join(f"{file}: {file.read_text()[-1500:]}" for file in self.out.rglob("std*"))

    def kill_at(self, rank: int, is_ready: Callable[[], bool]) -> None:
        """Kill a process with SIGKILL as soon as something is the case."""
        deadline = time.monotonic() + 300
        while not is_ready():
            assert self.process.poll() is None, self.errors()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        self.workers()[rank].send_signal(signal.SIGKILL)


def launch(
    spec: dict[str, Any], folder: Path, processes: int, *options: str, script: Path | None = None
) -> Launched:
    """Start the processes of a run; the launcher finds a free port for them to meet at.

    Args:
        script: takes the place of `-m entromask`.
    """
    file, out = folder.parent / f"{folder.name}.yaml", folder.parent / f"{folder.name}-out"
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", f"--log-dir={out}", "--redirects=3"]
    command += [
        *(["-m", "entromask"] if script is None else [str(script)]),
        "run",
        str(file),
        "--output",
        str(folder),
        *options,
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return Launched(subprocess.Popen(command, env=os.environ | {"LOGLEVEL": "ERROR"}, **quiet), out)  # type: ignore[call-overload]

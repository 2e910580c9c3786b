"""A part of the service: how it is started, and the process that it is now."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from entromask.stack import marks

_LAUNCH = Path(__file__).with_name("launch.py")
# Seconds until the first restart, until every later one at most, and of health that is trusted.
_SHORTEST, _LONGEST, _HEALTHY = 1.0, 30.0, 60.0


@dataclass(frozen=True)
class Part:
    """A command that runs for as long as the service does.

    Args:
        tier: parts of a higher tier are started later and stopped earlier.
        grace: how many seconds it has to end after SIGTERM.
    """

    name: str
    command: tuple[str, ...]
    tier: int
    grace: float
    environment: dict[str, str] = field(default_factory=dict)


class Running:
    """A part with its process, started again with growing delays when it dies."""

    def __init__(self, part: Part, token: str, logs: Path) -> None:
        self.part = part
        self.mark = f"{token}/{part.name}"
        self.log = logs / f"{part.name}.log"
        self.failures = 0
        self.due: float | None = None
        self.process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        """In a session of its own: Ctrl-C is for `up` alone, and the group can be ended as one.

        It writes into the file itself, so that it can still log after `up` has been killed.
        """
        self.started = time.monotonic()
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(_LAUNCH), str(os.getpid())),
                    *self.part.command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | self.part.environment | {marks.MARK: self.mark},
            )

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def plan_restart(self) -> float:
        """Notes that the process has died; returns in how many seconds it is started again."""
        if time.monotonic() - self.started > _HEALTHY:
            self.failures = 0
        delay = min(_LONGEST, _SHORTEST * 2.0**self.failures)
        self.failures += 1
        self.due = time.monotonic() + delay
        return delay

    def restart(self) -> None:
        """Starts it again; whatever its last process left behind ends before."""
        self.kill()
        self.due = None
        self.process = self._spawn()

    def terminate(self) -> None:
        """Asks its main process to end; what that started is its own to end."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends its process and whatever descends from it, at once."""
        if self.alive:
            self.process.kill()
        self.process.wait()
        marks.end(self.mark)

    def how_it_ended(self) -> str:
        code = self.process.poll()
        if code is None:
            return "is running"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

"""The process of a job, as its supervisor sees it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import signal
from contextlib import suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from typing import Any, cast

from worker import job
from worker.job import Outcome, Work

# As the standard library sees the process that imports this first: the Celery parent.
_MAIN = multiprocessing.current_process()


def job_context() -> ForkServerContext:
    """Starts a server that imports torch and the rest once; jobs are forked from it in no time."""
    # Celery calls its children daemons, which may have no children of their own, and says so to
    # the standard library too.
    module: Any = multiprocessing.process
    module._current_process = _MAIN
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["worker.preload"])
    forkserver.ensure_running()
    return context


def wait_until_warm(context: ForkServerContext) -> None:
    """Returns once the server has imported everything and the machine's speed is measured.

    At once, but for a worker's first job.

    To be called before a job is claimed: nobody renews its lease while a process waits to start.
    """
    process = context.Process(target=job.measure)
    process.start()
    process.join()


class JobProcess:
    """A fresh process in a process group of its own, which ends when its supervisor does.

    Attributes:
        outcome: what it said of its end; None of a process that was killed or has crashed.
        ready: it hears SIGTERM.
    """

    def __init__(self, context: ForkServerContext, work: Work) -> None:
        self.outcome: Outcome | None = None
        self.ready = False
        self._receiver: Connection | None
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=job.main, args=(work, sender), name=work.job)
        self._process.start()
        sender.close()

    @property
    def pid(self) -> int:
        return cast(int, self._process.pid)

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.exitcode

    def wait(self, seconds: float) -> bool:
        """Waits for news; whether it has ended."""
        sources: list[Connection | int] = [self._process.sentinel]
        if self._receiver is not None:
            sources.append(self._receiver)
        if self._receiver in wait(sources, seconds):
            self._receive()
        return self.exit_code is not None

    def _receive(self) -> None:
        while self._receiver is not None and self._receiver.poll():
            try:
                message = self._receiver.recv()
            except (EOFError, OSError):
                self._receiver.close()
                self._receiver = None
                return
            if isinstance(message, Outcome):
                self.outcome = message
            else:
                self.ready = True

    def terminate(self) -> None:
        """Asks the whole group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the whole group at once, also what outlived its first process."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            # Not yet a group of its own, or ended.
            if self.exit_code is None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)

    def close(self) -> None:
        """Kills what is left of the group and takes in the last words."""
        self.kill()
        self._process.join(10)
        self._receive()
        if self._receiver is not None:
            self._receiver.close()

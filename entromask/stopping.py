"""How a run hears that it should stop."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from entromask.processes import is_one_of_several

# Ctrl-C reaches the processes of a run from the terminal, and again from the launcher.
_SAME_SECONDS = 5.0


class StopRequest:
    """What a signal asks for: at the next step where a checkpoint can be written, else at once."""

    def __init__(self) -> None:
        self.requested = False
        self.can_wait = False
        self._at = 0.0

    def __call__(self, _signal: int, _frame: object) -> None:
        recent = time.monotonic() - self._at < _SAME_SECONDS
        if self.requested and recent and is_one_of_several():
            return
        if not self.can_wait or self.requested:
            raise KeyboardInterrupt
        self.requested, self._at = True, time.monotonic()


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """SIGINT and SIGTERM become a StopRequest, in the main thread of a process."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

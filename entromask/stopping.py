"""How a run hears that it should stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class StopRequest:
    """What a signal asks for: at the next step where a checkpoint can be written, else at once."""

    def __init__(self) -> None:
        self.requested = False
        self.can_wait = False

    def __call__(self, _signal: int, _frame: object) -> None:
        if not self.can_wait or self.requested:
            raise KeyboardInterrupt
        self.requested = True


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

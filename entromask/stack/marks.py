"""Which processes belong to an `entromask up`: all that carry its mark in their environment.

The mark is inherited by everything that a part starts, in whatever group or session, and a process
id that was given to somebody else since does not have it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

MARK = "ENTROMASK_UP_PART"
# What a killed process has to go; one that hangs in the kernel may take for ever.
_DYING = 10.0
# Seconds by which the start of one process may be read differently: clocks are set.
_SAME = 2.0


def marked(mark: str) -> list[psutil.Process]:
    """The living processes with this mark, or, for a mark that ends in '/', one that begins so."""
    found = []
    for process in psutil.process_iter():
        try:
            value = process.environ().get(MARK, "")
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except (psutil.Error, OSError):
            continue  # it has ended, or is not ours to look into
        if value == mark or (mark.endswith("/") and value.startswith(mark)):
            found.append(process)
    return found


def end(mark: str, patience: float = 0.0, hurry: Callable[[], bool] = lambda: False) -> None:
    """Ends all processes with a mark: SIGTERM, and SIGKILL to those that are left after `patience`.

    Args:
        hurry: asked again and again; once true, nothing is waited for any more.
    """
    if patience:
        for process in marked(mark):
            _ask(process.terminate)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and not hurry() and marked(mark):
        time.sleep(0.1)
    # A process that is being killed may just have started another one.
    deadline = time.monotonic() + _DYING
    while (left := marked(mark)) and time.monotonic() < deadline:
        for process in left:
            _ask(process.kill)
        psutil.wait_procs(left, timeout=1)


def born(pid: int) -> float:
    """When a process started; 0 if there is none. With the id it tells a process from others."""
    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def end_recorded(recorded: Iterable[tuple[int, float]], patience: float) -> None:
    """Ends the processes that are still the same as when their id and start were written down.

    For those that overwrite their environment, and the mark with it, as Redis does.
    """
    left = [psutil.Process(pid) for pid, at in recorded if abs(born(pid) - at) < _SAME]
    for process in left:
        _ask(process.terminate)
    _, left = psutil.wait_procs(left, timeout=patience)
    for process in left:
        _ask(process.kill)
    psutil.wait_procs(left, timeout=_DYING)


def _ask(action: Callable[[], None]) -> None:
    with suppress(psutil.NoSuchProcess):
        action()

"""What happens inside the process of a job. Forked from a server that has imported torch."""

from __future__ import annotations

import faulthandler
import fcntl
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any

from entromask.errors import EntromaskError
from entromask.glue.plan import Cell
from entromask.spec import RunSpec

# A predecessor on this machine is dying; one that holds on longer is alive.
_LOCK_SECONDS = 20.0


@dataclass(frozen=True)
class Work:
    """What a job's process has to do; `after` is the last event that the database knows."""

    job: str
    run: str
    kind: str
    payload: dict[str, Any]
    folder: Path
    after: int

    @property
    def cell(self) -> Cell | None:
        return Cell.of(self.payload) if self.kind == "cell" else None

    def behind(self, after: int) -> Work:
        """The same work, when the database knows the events up to a number."""
        return replace(self, after=after)

    @property
    def lock(self) -> Path:
        """Held by the one process that writes; pieces of an evaluation are written side by side."""
        cell = self.cell
        return self.folder / (".lock" if cell is None else f"evaluation/.{cell.name}.lock")


@dataclass(frozen=True)
class Outcome:
    """How a job ended: succeeded, failed, interrupted (by SIGTERM), or blocked by another."""

    status: str
    reason: str = "internal"
    message: str = ""
    hint: str | None = None


def measure() -> None:
    """Measure this machine's speed, for estimates, where no earlier worker has."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    from entromask.calibration import calibrate

    try:
        calibrate()
    except Exception as error:  # estimates do without: no job may fail for it
        print(f"the speed of this machine cannot be measured: {error}", file=sys.stderr)


def main(work: Work, sender: Connection) -> None:
    """Does the work and says how it ended."""
    os.setsid()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_supervisor, daemon=True).start()
    _write_to_log(work.folder)
    try:
        sender.send("ready")
        with _exclusive(work.lock):
            _do(work)
        outcome = Outcome("succeeded")
    except KeyboardInterrupt:
        outcome = Outcome("interrupted")
    except BlockingIOError:
        outcome = Outcome("blocked", "worker_lost", "another process still works on this run")
    except BaseException as error:
        outcome = explain(error, work)
        if isinstance(error, EntromaskError):
            print(f"{outcome.reason}: {outcome.message}", file=sys.stderr)
        else:
            traceback.print_exc()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sender.send(outcome)
    sender.close()


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _die_with_supervisor() -> None:
    """No process outlives its supervisor: the job may be another worker's soon."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)


def _write_to_log(folder: Path) -> None:
    """What the process prints goes to the run's log, also the last words of a crash."""
    log = os.open(folder / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.close(log)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=True)
    faulthandler.enable(sys.stderr)


class _exclusive:  # noqa: N801 - reads as a word
    """Holds a lock file until the end of the block, at the latest of the process.

    Raises:
        BlockingIOError: another process holds it and keeps it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._path.parent.mkdir(exist_ok=True)
        self._file: IO[bytes] = self._path.open("ab")
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _do(work: Work) -> None:
    from entromask import pipeline

    cell = work.cell
    if cell is not None:
        pipeline.evaluate_cell(work.folder, cell, after=work.after)
    else:
        stage = {"pretrain": pipeline.pretrain, "report": pipeline.report}[work.kind]
        stage(work.folder, after=work.after)


def explain(error: BaseException, work: Work) -> Outcome:
    """An exception as the end of a job: a sentence, a reason, and what to do about it."""
    if isinstance(error, EntromaskError):
        return Outcome("failed", error.reason, error.message, error.hint)
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        message = f"the GPU has too little memory: {str(error).partition('.')[0]}"
        return Outcome("failed", "cuda_oom", message, _less_memory(work))
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        message = "this machine has too little memory for the job"
        return Outcome("failed", "host_oom", message, _less_memory(work))
    words = str(error).strip().partition("\n")[0]
    message = f"unexpected {type(error).__name__}: {words}"
    return Outcome("failed", "internal", message, f"see the log: entromask runs logs {work.run}")


def _less_memory(work: Work) -> str:
    """How the same training fits: the effective batch stays what it is."""
    if work.kind == "cell":
        return "free memory that other processes hold, or evaluate on a larger device"
    spec = RunSpec.load(work.folder / "spec.yaml").resolved().pretraining
    return (
        f"set pretraining.gradient_accumulation to {2 * spec.gradient_accumulation} and leave "
        f"batch_size at {spec.batch_size}: the same effective batch, half of it at a time"
    )

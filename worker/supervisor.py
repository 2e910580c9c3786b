"""Watches over one job at a time: its process, its lease, its events, and what users ask."""

from __future__ import annotations

import logging
import mmap
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext
from pathlib import Path

from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.queue import send
from backend.store import feed, jobs
from backend.store.jobs import Claim
from entromask.pipeline import cell_events
from entromask.run_folder import write_atomically
from entromask.settings import settings
from entromask.spec import RunSpec
from worker.ending import CAUSES, POLITE, Cause, judge
from worker.job import Work
from worker.memory import oom_kills
from worker.patience import AWAY
from worker.process import JobProcess, wait_until_warm
from worker.records import Record, first_line, persist

_LOOP_SECONDS = 0.3
# What a process that has said how it ended may take to go.
_FAREWELL_SECONDS = 10.0

_log = logging.getLogger("worker")


class Supervisor:
    """Runs jobs in processes of their own, in the child of a Celery worker.

    Args:
        worker: the id under which jobs are claimed.
        ending: one shared byte, 1 once the worker is to end.
    """

    def __init__(
        self, database: Database, worker: str, context: ForkServerContext, ending: mmap.mmap
    ) -> None:
        self._database, self._worker, self._context = database, worker, context
        self._ending = ending
        self._terminated = False
        self._parent = os.getppid()

    def run(self, job_id: str) -> None:
        """Claims a job and sees it through; returns at once where there is nothing to do."""
        if self._is_ending():
            return

        def take(session: Session) -> Claim | None:
            return jobs.claim(session, job_id, self._worker, settings().lease_seconds)

        with self._hearing_sigterm():
            wait_until_warm(self._context)
            try:
                claim = persist(self._database, take, self._is_ending)
                if claim is not None:
                    self._work(claim)
            except AWAY as error:
                # Its lease will end, and the job goes to whoever takes it then.
                _log.warning("job=%s is left behind: %s", job_id, first_line(error))

    def _is_ending(self) -> bool:
        return bool(self._ending[0]) or self._terminated or os.getppid() != self._parent

    @contextmanager
    def _hearing_sigterm(self) -> Iterator[None]:
        """Somebody may send SIGTERM to every process that there is: the job is given back."""

        def hear(_signal: int, _frame: object) -> None:
            self._terminated = True

        before = signal.signal(signal.SIGTERM, hear)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _work(self, claim: Claim) -> None:
        began = time.monotonic()
        folder = settings().runs / claim.run_id
        work, record = self._prepare(claim, folder)
        about = f"job={claim.job_id} run={claim.run_id} name={claim.name} attempt={claim.attempt}"
        kills = oom_kills()
        process = JobProcess(self._context, work)
        _log.info("start %s pid=%d", about, process.pid)
        try:
            cause = self._watch(process, record)
        finally:
            process.close()
        ending = judge(
            claim,
            process.outcome,
            process.exit_code,
            cause,
            settings().job_timeout,
            memory_was_full=oom_kills() > kills,
        )
        patience = time.monotonic() + settings().grace_seconds
        messages = record.close(
            ending,
            folder / "results.json",
            give_up=lambda: self._is_ending() and time.monotonic() > patience,
        )
        why = f" reason={ending.failure.reason}" if ending.failure else ""
        _log.info("end %s how=%s%s seconds=%.1f", about, ending.how, why, time.monotonic() - began)
        send(messages)

    def _prepare(self, claim: Claim, folder: Path) -> tuple[Work, Record]:
        """The run's folder as the process expects it, and what a predecessor left in it."""
        folder.mkdir(parents=True, exist_ok=True)
        spec_file = folder / "spec.yaml"
        if not spec_file.is_file():
            write_atomically(spec_file, RunSpec.parse(claim.spec).to_yaml())
        work = Work(claim.job_id, claim.run_id, claim.kind, claim.payload, folder, after=0)
        cell = work.cell
        source = feed.RUN if cell is None else cell.name
        events = "events.jsonl" if cell is None else cell_events(cell)
        record = Record(self._database, claim, source, folder / events)
        return work.behind(record.known(self._is_ending)), record

    def _watch(self, process: JobProcess, record: Record) -> Cause | None:
        """Until the process has ended; returns why this supervisor ended it, if it did."""
        timeout = settings().job_timeout
        time_is_over = None if timeout is None else time.monotonic() + timeout
        cause: Cause | None = None
        deadline: float | None = None
        while not process.wait(_LOOP_SECONDS):
            record.keep_up()
            now = time.monotonic()
            causes = {
                "taken": not record.held,
                "kill": record.asked == "kill",
                "timeout": time_is_over is not None and now > time_is_over,
                "release": self._is_ending(),
                "cancel": record.asked == "cancel",
            }
            first = next((name for name in CAUSES if causes[name]), None)
            if first is not None and first not in POLITE:
                process.kill()
                cause = first
            elif first is not None and cause is None and process.ready:
                process.terminate()
                cause, deadline = first, now + settings().grace_seconds
            elif cause is None and process.outcome is not None:
                deadline = deadline or now + _FAREWELL_SECONDS
            if deadline is not None and now > deadline:
                process.kill()
        return cause

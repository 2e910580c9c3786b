"""How the end of a job's process is judged: what is written into the database."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy.orm import Session

from backend.store import jobs
from backend.store.jobs import Claim, Failure
from worker.job import Outcome

# Why a supervisor ends a process: the job is another's by now, a user's kill, the time is over,
# this worker goes away, a user's cancel. The first of them that holds counts.
Cause = Literal["taken", "kill", "timeout", "release", "cancel"]
CAUSES: tuple[Cause, ...] = ("taken", "kill", "timeout", "release", "cancel")
# These let it write a checkpoint.
POLITE: tuple[Cause, ...] = ("timeout", "release", "cancel")


@dataclass(frozen=True)
class Ending:
    """What becomes of a job; `forgotten` is another worker's business."""

    how: Literal["succeeded", "failed", "cancelled", "released", "lost", "forgotten"]
    failure: Failure | None = None

    def write(self, session: Session, claim: Claim, max_attempts: int) -> Sequence[str]:
        """Writes it into the database; returns the ids of the jobs to send."""
        if self.how == "forgotten":
            return []
        if self.failure is not None:
            if self.how == "lost":
                return jobs.lose(session, claim, self.failure, max_attempts)
            return jobs.fail(session, claim, self.failure)
        ends = {"succeeded": jobs.succeed, "cancelled": jobs.cancel, "released": jobs.release}
        return ends[self.how](session, claim)


def judge(
    claim: Claim,
    outcome: Outcome | None,
    exit_code: int | None,
    cause: Cause | None,
    timeout: float | None,
    memory_was_full: bool,
) -> Ending:
    """The end of a job from what its process said, how it ended, and why it was ended."""
    if cause == "taken":
        return Ending("forgotten")
    status = outcome.status if outcome else None
    if status == "succeeded":
        return Ending("succeeded")
    if cause in ("kill", "cancel"):
        return Ending("cancelled")
    if cause == "timeout":
        message = f"the job {claim.name} took longer than {timeout:g} s"
        hint = "raise ENTROMASK_JOB_TIMEOUT, then continue with: entromask runs retry"
        return Ending("failed", Failure("timeout", message, f"{hint} {claim.run_id}"))
    if outcome is not None and status == "failed":
        return Ending("failed", Failure(outcome.reason, outcome.message, outcome.hint))
    if cause == "release" or status == "interrupted":
        return Ending("released")
    hint = f"see the log: entromask runs logs {claim.run_id}"
    if outcome is not None:  # blocked
        return Ending("lost", Failure(outcome.reason, outcome.message, hint))
    if exit_code == -signal.SIGKILL and memory_was_full:
        message = f"the job {claim.name} was killed because the memory of this machine was full"
        return Ending("lost", Failure("host_oom", message, "lower pretraining.batch_size"))
    if exit_code == -signal.SIGKILL:
        message = f"the process of the job {claim.name} was killed by signal 9"
        return Ending("lost", Failure("worker_lost", message, hint))
    message = f"the process of the job {claim.name} crashed ({_end_in_words(exit_code)})"
    return Ending("lost", Failure("internal", message, hint))


def _end_in_words(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {-exit_code}, {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"

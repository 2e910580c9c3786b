"""The states of runs and jobs, and how a run's state follows from its jobs'."""

from __future__ import annotations

from typing import get_args

from entromask.resources import (
    DEFAULT_PRIORITY,
    HIGHEST_PRIORITY,
    LOWEST_PRIORITY,
    OVER,
    Reason,
    RunStatus,
)

RUN_STATUSES: tuple[str, ...] = get_args(RunStatus)
REASONS: tuple[str, ...] = get_args(Reason)

# The order in which a run's kinds of jobs are done; all of one kind may be done together.
KINDS = ("pretrain", "cell", "report")

# 0 is served first, as on Redis.
PRIORITIES = range(HIGHEST_PRIORITY, LOWEST_PRIORITY + 1)

__all__ = ["DEFAULT_PRIORITY", "KINDS", "OVER", "PRIORITIES", "REASONS", "RUN_STATUSES"]

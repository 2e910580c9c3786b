"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import secrets
import time


def new_id(kind: str) -> str:
    """Such as run_0193f2a1c4b27d1e9a4c3b2f: 12 digits of milliseconds, 12 random ones."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def job_id(run_id: str, number: int) -> str:
    """Of a run's jobs in their order: run_0193f2… has job_0193f2…_0, …_1, …"""
    return f"{run_id.replace('run_', 'job_', 1)}_{number}"


def begins_a_run(job_id: str) -> bool:
    """Whether a job is the first of its run, its pretraining."""
    return job_id.endswith("_0")

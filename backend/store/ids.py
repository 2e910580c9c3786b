"""Identifiers that sort by the time they were made."""

from __future__ import annotations

import secrets
import time


def new_id(kind: str) -> str:
    """Such as run_0193f2a1c4b27d1e9a4c3b2f: 12 digits of milliseconds, 12 random ones."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"

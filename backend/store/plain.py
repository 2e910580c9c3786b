"""What both databases can hold: figures that JSON knows, text without NUL characters."""

from __future__ import annotations

import math
from typing import Any


def finite(value: Any) -> Any:
    """JSON data with null in place of what is not a number: JSON knows no NaN, nor infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def clean(text: str) -> str:
    """Text that Postgres takes: without NUL characters and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")

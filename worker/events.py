"""The file that a job appends its events to, read while it grows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Of the file at a time: a few thousand events, one short transaction.
_CHUNK = 512 * 1024


class EventFile:
    """Gives the whole lines that have not been taken yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken = 0
        self._end = 0

    def read(self) -> list[dict[str, Any]]:
        """The next events, at most a few thousand; the same ones again until `take`."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._taken)
                chunk = file.read(_CHUNK)
                if b"\n" not in chunk:
                    chunk += file.readline()
        except FileNotFoundError:
            return []
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._end = self._taken + len(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def take(self) -> None:
        """What was read last has been stored."""
        self._taken = self._end

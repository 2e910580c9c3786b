"""One `entromask up` per ENTROMASK_HOME: the lock, and the record that tells the next one of us."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from entromask.errors import EntromaskError, InputError
from entromask.run_folder import write_json


class Home:
    """Holds ENTROMASK_HOME while `up` runs: `up.lock` is locked, `up.json` says by whom.

    The lock goes with the process, however that ends; the record of one that was killed stays,
    and `earlier` is the token that its parts carry, `earlier_parts` their ids and starts.

    Raises:
        EntromaskError: another `up` holds this folder.
        InputError: the folder cannot be written to.
    """

    def __init__(self, root: Path, url: str) -> None:
        self.root, self.url = root, url
        self.token = secrets.token_hex(8)
        self.earlier: str | None = None
        self.earlier_parts: list[tuple[int, float]] = []
        self._file: IO[str] | None = None

    @property
    def _record(self) -> Path:
        return self.root / "up.json"

    def __enter__(self) -> Self:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._file = (self.root / "up.lock").open("a", encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"ENTROMASK_HOME {self.root} cannot be written to: {error.strerror}",
                "set ENTROMASK_HOME to a folder of yours",
            ) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise self._held() from None
        before = self._read()
        self.earlier = before.get("token")
        self.earlier_parts = [(int(pid), float(at)) for pid, at in before.get("parts", {}).values()]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def record(self, parts: Mapping[str, tuple[int, float]]) -> None:
        """Writes who we are; from now on a killed `up` can be cleaned up after.

        Args:
            parts: the id and the start of each part's main process.
        """
        ours = {"pid": os.getpid(), "url": self.url, "token": self.token}
        write_json(self._record, {**ours, "parts": parts})

    def forget(self) -> None:
        """Nothing of us is left."""
        self._record.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        try:
            data = json.loads(self._record.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}

    def _held(self) -> EntromaskError:
        holder = self._read()
        pid, url = holder.get("pid"), holder.get("url")
        who = f"process {pid}, {url}" if pid else "another process"
        stop = f"Ctrl-C there or `kill {pid}` stops it" if pid else "Ctrl-C there stops it"
        return EntromaskError(
            f"`entromask up` runs already on {self.root} ({who})",
            f"{stop}; or set ENTROMASK_HOME, ENTROMASK_API_PORT and ENTROMASK_DASHBOARD_PORT for a "
            "second service",
        )

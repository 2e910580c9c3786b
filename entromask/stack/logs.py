"""Shows the logs of all parts as they grow, each line behind the name of its part."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

# A file that is longer is put aside as NAME.log.1.
_LONGEST = 20_000_000
_CHUNK = 1_000_000


class LogTail(threading.Thread):
    """Follows the files from where they end now."""

    def __init__(self, files: dict[str, Path], out: TextIO, every: float = 0.1) -> None:
        super().__init__(name="logs", daemon=True)
        self.files, self.out, self.every = files, out, every
        self.width = max(map(len, files), default=0)
        self._places = {name: _size(path) for name, path in files.items()}
        self._halves = dict.fromkeys(files, b"")
        self._stopping = threading.Event()
        self._writing = threading.Lock()

    def run(self) -> None:
        while not self._stopping.wait(self.every):
            self._look()
        self._look()

    def stop(self) -> None:
        """Shows what is left, then ends."""
        self._stopping.set()
        self.join(timeout=5)

    def say(self, name: str, line: str) -> None:
        """Prints a line behind a name."""
        self.print([f"{name:<{self.width}} | {line}"])

    def print(self, lines: Iterable[str]) -> None:
        """Prints lines together, never within another line."""
        with self._writing:
            try:
                self.out.write("".join(f"{line}\n" for line in lines))
                self.out.flush()
            except (OSError, ValueError):
                # Whoever read this is gone; the files still have it all.
                return

    def _look(self) -> None:
        for name, path in self.files.items():
            size = _size(path)
            if size < self._places[name]:
                self._places[name] = 0
            while self._places[name] < size:
                with path.open("rb") as file:
                    file.seek(self._places[name])
                    chunk = file.read(_CHUNK)
                if not chunk:
                    break
                self._places[name] += len(chunk)
                *lines, self._halves[name] = (self._halves[name] + chunk).split(b"\n")
                for line in lines:
                    self.say(name, line.decode("utf-8", errors="replace").rstrip("\r"))
            if size > _LONGEST:
                self._put_aside(name, path)

    def _put_aside(self, name: str, path: Path) -> None:
        """The part has the file open for appending: it is copied and cut, not renamed."""
        shutil.copyfile(path, path.with_suffix(".log.1"))
        with path.open("r+b") as file:
            file.truncate(0)
        self._places[name] = 0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0

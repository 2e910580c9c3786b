"""What lies in a run's folder, as far as the API gives it away: its log and its files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from entromask.settings import settings

LOG_LIMIT = 1_000_000


def run_home(run_id: str) -> Path:
    """The folder of a run whose id is in the database."""
    return settings().runs / run_id


def read_log(run_id: str, *, tail: int | None, offset: int | None) -> tuple[str, int]:
    """(text, the offset that continues behind it), at most 1 MB; whole lines where there are.

    Args:
        tail: only so many last lines.
        offset: only what lies behind this byte.
    """
    try:
        with (run_home(run_id) / "log.txt").open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = offset or 0
            if tail is not None:
                start = max(start, size - LOG_LIMIT)
            file.seek(min(start, size))
            content = file.read(LOG_LIMIT)
    except FileNotFoundError:
        return "", 0
    if len(content) == LOG_LIMIT and b"\n" in content:
        content = content[: content.rfind(b"\n") + 1]
    end = min(start, size) + len(content)
    if tail is not None:
        content = b"".join(content.splitlines(keepends=True)[-tail:]) if tail else b""
    return content.decode("utf-8", "replace"), end


def list_files(run_id: str) -> list[dict[str, Any]]:
    """Every file of a run, by its path in the run's folder; hidden ones are left out."""
    home = run_home(run_id)
    return sorted(_files(home), key=lambda file: file["path"]) if home.is_dir() else []


def _files(home: Path) -> Iterator[dict[str, Any]]:
    inside = home.resolve()
    for folder, folders, names in os.walk(home):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder) / name
            if name.startswith(".") or not _is_inside(path, inside):
                continue
            try:
                found = path.stat()
            except OSError:  # gone meanwhile
                continue
            relative = path.relative_to(home).as_posix()
            yield {
                "object": "artifact",
                "path": relative,
                "size": found.st_size,
                "modified_at": found.st_mtime,
            }


def find_file(run_id: str, path: str) -> Path | None:
    """A file of a run; None where there is none, or where the path leads out of the folder."""
    home = run_home(run_id)
    try:
        file = (home / path).resolve(strict=True)
        hidden = any(part.startswith(".") for part in Path(path).parts)
        inside = file.is_relative_to(home.resolve()) and file.is_file()
    except (OSError, RuntimeError, ValueError):
        return None
    return file if inside and not hidden else None


def _is_inside(path: Path, inside: Path) -> bool:
    try:
        resolved = path.resolve(strict=True)
        return resolved.is_relative_to(inside) and resolved.is_file()
    except (OSError, RuntimeError):
        return False

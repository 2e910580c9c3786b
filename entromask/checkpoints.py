"""The checkpoints of a run as folders: their names, and the manifest that says they are whole."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path

_NAME = re.compile(r"step-(\d+)")
_MANIFEST = "manifest.json"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the latest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    match = _NAME.fullmatch(checkpoint.name)
    assert match is not None, checkpoint
    return int(match.group(1))


def write_manifest(checkpoint: Path) -> None:
    """Writes down the SHA-256 of every file that is in the folder now."""
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    manifest = {path.relative_to(checkpoint).as_posix(): _sha256(path) for path in files}
    (checkpoint / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def verify(checkpoint: Path, without: Collection[str] = ()) -> list[str]:
    """Compares the files of a checkpoint with its manifest; returns their names.

    Args:
        without: names of files that are not looked at.

    Raises:
        ValueError: a file is missing or differs from what was written.
    """
    try:
        manifest = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
        names = [name for name in manifest if name not in without]
        for name in names:
            if _sha256(checkpoint / name) != manifest[name]:
                raise ValueError(f"{checkpoint / name} is damaged")
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{checkpoint} is damaged: {error}") from None
    return names


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

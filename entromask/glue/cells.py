"""One file per (task, seed): written whole, read back only if whole and of the same set-up."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from entromask.text.cache import write_once

Result = dict[str, Any]


def cell_file(folder: Path, task: str, seed: int | None) -> Path:
    """Where a result lies; a zero-shot task has no seed."""
    return folder / (f"{task}.json" if seed is None else f"{task}-seed{seed}.json")


def write_cell(file: Path, setup: str, result: Result) -> None:
    """Writes a result atomically.

    Raises:
        DiskFullError: there is no room.
    """
    body = {"setup": setup, "result": result}
    write_once(file, json.dumps({"sha256": fingerprint(body), **body}).encode())


def read_cell(file: Path, setup: str) -> tuple[Result | None, str | None]:
    """The result in a file, and one sentence on why there is none that can be used.

    Both are None where there is no file.
    """
    if not file.is_file():
        return None, None
    cell = _whole(file)
    if cell is None:
        return None, f"{file} is damaged; it is computed again"
    if cell["setup"] != setup:
        return None, f"{file} is of another model, protocol or data; it is computed again"
    result: Result = cell["result"]
    return result, None


def kept_cell(file: Path) -> Result | None:
    """The result in the file of a finished run, whatever its set-up; None: missing or damaged."""
    cell = _whole(file) if file.is_file() else None
    return None if cell is None else cell["result"]


def _whole(file: Path) -> dict[str, Any] | None:
    """The content of a cell's file; None where it is damaged."""
    try:
        cell: dict[str, Any] = json.loads(file.read_bytes())
        whole = cell.pop("sha256") == fingerprint(cell)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return cell if whole else None


def fingerprint(content: Any) -> str:
    """SHA-256 of plain data."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def model_fingerprint(model_dir: Path) -> str:
    """SHA-256 of the configuration, weights and tokenizer in a model folder."""
    digest = hashlib.sha256()
    for file in sorted(model_dir.iterdir()):
        if file.suffix in (".safetensors", ".json", ".txt", ".bin"):
            digest.update(file.name.encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def setup_fingerprint(model: str, data: str, options: Mapping[str, Any]) -> str:
    """What a result depends on beside its seed: model, task data, and protocol or subsample."""
    return fingerprint({"model": model, "data": data, "options": dict(options)})

"""Checkpoints: written whole or not at all, verified before they are used.

A checkpoint is a folder of safetensors files, a state file and a manifest with the SHA-256 of
each; it gets its name only after everything in it has reached the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_NAME = re.compile(r"step-(\d+)$")
_MANIFEST = "manifest.json"


def save_checkpoint(
    folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]
) -> Path:
    """Writes `folder/step-N` with one safetensors file a group of `tensors`.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: the disk is full or not writable; nothing of this checkpoint stays.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final, building = folder / f"step-{step}", folder / f".step-{step}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        for name, group in tensors.items():
            flat = {key: tensor.detach().cpu().contiguous() for key, tensor in group.items()}
            save_file(flat, building / f"{name}.safetensors", metadata={"format": "pt"})
        (building / "state.json").write_text(json.dumps(state), encoding="utf-8")
        files = sorted(path for path in building.iterdir())
        manifest = {path.name: _sha256(path) for path in files}
        (building / _MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        for path in [*files, building / _MANIFEST, building]:
            _sync(path)
        if final.exists():
            shutil.rmtree(final)
        building.rename(final)
        _sync(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return final


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the latest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _NAME.match(path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(checkpoint: Path) -> int:
    match = _NAME.match(checkpoint.name)
    assert match is not None, checkpoint
    return int(match.group(1))


def load_checkpoint(checkpoint: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors, by group, and the state of a checkpoint.

    Raises:
        ValueError: a file is missing or differs from what was written.
    """
    try:
        manifest = json.loads((checkpoint / _MANIFEST).read_text(encoding="utf-8"))
        for name, expected in manifest.items():
            if _sha256(checkpoint / name) != expected:
                raise ValueError(f"{checkpoint / name} is damaged")
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{checkpoint} is damaged: {error}") from None
    names = [name for name in manifest if name.endswith(".safetensors")]
    return {Path(name).stem: load_file(checkpoint / name) for name in names}, state


def load_latest(
    folder: Path, on_damage: Callable[[str], None]
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]] | None:
    """The latest checkpoint that is whole, or None; `on_damage` hears of each that is not."""
    for checkpoint in checkpoints(folder):
        try:
            return load_checkpoint(checkpoint)
        except ValueError as error:
            on_damage(f"{error}; falling back to the checkpoint before it")
    return None


def prune(folder: Path, keep: set[int]) -> None:
    """Removes every checkpoint whose step is not in `keep`, and what a crash left half-written."""
    for checkpoint in checkpoints(folder):
        if step_of(checkpoint) not in keep:
            shutil.rmtree(checkpoint)
    for leftover in folder.glob(".step-*.building"):
        shutil.rmtree(leftover)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors under flat names, in the order of its parameters."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

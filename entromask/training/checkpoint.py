"""Checkpoints: written whole or not at all, verified before they are used.

A checkpoint is a folder of safetensors files, a state file and a manifest with the SHA-256 of
each; it gets its name only after everything in it has reached the disk, and loses it before
anything in it is removed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from entromask.checkpoints import checkpoints, step_of, verify, write_manifest


def save_checkpoint(
    folder: Path,
    step: int,
    tensors: dict[str, dict[str, Tensor]],
    state: dict[str, Any],
    add_files: Callable[[Path], None] | None = None,
) -> Path:
    """Writes `folder/step-N` with one safetensors file a group of `tensors`.

    Args:
        add_files: writes further files of the checkpoint into the folder that it is given.

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
        if add_files is not None:
            add_files(building)
        write_manifest(building)
        for path in [*building.rglob("*"), building]:
            _sync(path)
        if final.exists():
            _remove(final)
        building.rename(final)
        _sync(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return final


def load_checkpoint(checkpoint: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The tensors, by group, and the state of a checkpoint.

    Raises:
        ValueError: a file is missing or differs from what was written.
    """
    names = verify(checkpoint)
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{checkpoint} is damaged: {error}") from None
    groups = [name for name in names if name.endswith(".safetensors")]
    return {Path(name).stem: load_file(checkpoint / name) for name in groups}, state


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
            _remove(checkpoint)
    for leftover in folder.glob(".step-*"):
        shutil.rmtree(leftover)


def _remove(checkpoint: Path) -> None:
    """Removes a checkpoint so that a reader finds all of it or nothing."""
    removing = checkpoint.with_name(f".{checkpoint.name}.removing")
    if removing.exists():
        shutil.rmtree(removing)
    checkpoint.rename(removing)
    shutil.rmtree(removing)


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

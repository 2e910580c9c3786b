"""Where the model lies that a reference names; nothing of it is loaded here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from entromask.checkpoints import checkpoints, step_of
from entromask.errors import InputError
from entromask.modeling.folders import check_model_folder, is_path
from entromask.spec import ModelReference, run_folder

_KEPT = (
    "a run writes a checkpoint every pretraining.checkpoint_every steps, and keeps the last two "
    "and the best"
)


def model_source(reference: ModelReference) -> str:
    """The folder, or the Hub's name, that holds the model and its tokenizer.

    Raises:
        InputError: a run, a checkpoint or a folder that is not there, or that holds no whole model.
    """
    if reference.hub is not None:
        if is_path(reference.hub):
            check_model_folder(Path(reference.hub))
        return reference.hub
    if reference.run is not None:
        run = run_folder(reference.run)
        if reference.checkpoint is not None:
            return str(_checkpoint(reference.run, run, reference.checkpoint))
        return str(_finished(reference.run, run))
    folder = Path(str(reference.path)).expanduser()
    check_model_folder(folder)
    return str(folder)


@contextmanager
def said_when_gone(reference: ModelReference) -> Iterator[None]:
    """Around the reading of a model: what fails because it has gone meanwhile says that.

    A run that trains removes its older checkpoints.

    Raises:
        InputError: as `model_source` does, or what the block raises.
    """
    try:
        yield
    except (InputError, OSError):
        model_source(reference)
        raise


def _finished(name: str, run: Path) -> Path:
    folder = run / "model"
    if not (folder / "config.json").is_file():
        steps = _steps(run)
        raise InputError(
            f"run {name} has no finished model"
            + (f"; it has checkpoints {steps}" if steps else ""),
            "let the run finish, or `entromask run … --resume` it; `entromask preview --model "
            "RUN@STEP` shows a checkpoint",
        )
    check_model_folder(folder)
    return folder


def _checkpoint(name: str, run: Path, step: int) -> Path:
    found = {step_of(path): path for path in checkpoints(run / "checkpoints")}
    if step not in found:
        there = f"those {_steps(run)}" if found else "none"
        raise InputError(f"run {name} has no checkpoint at step {step}; it has {there}", _KEPT)
    if not (found[step] / "config.json").is_file():
        raise InputError(
            f"the checkpoint at step {step} of run {name} has no config.json: an earlier version "
            "wrote it",
            "look at the finished model; a run that is resumed writes checkpoints with it",
        )
    return found[step]


def _steps(run: Path) -> str:
    """Such as "at step 500" or "at steps 500, 600"; empty where there are none."""
    steps = sorted(step_of(path) for path in checkpoints(run / "checkpoints"))
    return f"at step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}" if steps else ""

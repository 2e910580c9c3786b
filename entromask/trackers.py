"""The table of trackers that a run's metrics can go to, through Accelerate's classes for them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from entromask.errors import DependencyMissingError, InputError

# How far a run is when it is closed: `trained` goes on elsewhere, as on a worker.
Status = Literal["succeeded", "failed", "cancelled", "trained"]

_RUN_TAG = "entromask.run"
_MLFLOW_STATUS = {
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
    "trained": "RUNNING",
}


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers know it.

    `id` is made once and kept in the run folder: with it a resumed run goes on where it was.
    `name` holds the id, because for some trackers a run is its name. `files` is for the trackers
    that write files on this machine.
    """

    id: str
    name: str
    project: str
    group: str
    tags: Sequence[str]
    files: Path
    config: Mapping[str, str | int | float | bool]


def _open_tensorboard(run: TrackedRun) -> Any:
    from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker(run.name, str(run.files / "tensorboard"))


def _open_mlflow(run: TrackedRun) -> Any:
    import mlflow
    from accelerate.tracking import MLflowTracker

    for name in ("mlflow", "alembic"):  # they tell of every table that they make
        logging.getLogger(name).setLevel(logging.ERROR)
    artifacts = None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        run.files.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{run.files / 'mlflow.db'}")
        artifacts = str(run.files / "mlflow-artifacts")
    earlier = mlflow.search_runs(
        experiment_names=[run.project],
        filter_string=f"tags.`{_RUN_TAG}` = '{run.id}'",
        output_format="list",
    )
    return MLflowTracker(
        run.project,
        logging_dir=artifacts,
        run_id=earlier[0].info.run_id if earlier else None,
        run_name=run.name,
    )


def _name_mlflow(_tracker: Any, run: TrackedRun) -> None:
    import mlflow

    mlflow.set_tags(
        {_RUN_TAG: run.id, "entromask.group": run.group, "entromask.tags": ", ".join(run.tags)}
    )


def _close_mlflow(tracker: Any, status: Status) -> None:
    import mlflow

    if status != "trained":
        mlflow.set_tag("status", status)
    mlflow.end_run(_MLFLOW_STATUS[status])


def _open_wandb(run: TrackedRun) -> Any:
    import wandb
    from accelerate.tracking import WandBTracker

    run.files.mkdir(parents=True, exist_ok=True)
    return WandBTracker(
        run.project,
        id=run.id,
        name=run.name,
        group=run.group[:8],
        tags=list(run.tags),
        resume="allow",
        dir=str(run.files),
        # The terminal belongs to the run's own progress.
        settings=wandb.Settings(silent=True, console="off"),
    )


def _check_wandb() -> None:
    """W&B would ask for a key on the terminal in the middle of the run."""
    import wandb

    if os.environ.get("WANDB_MODE", "online") != "online":
        return
    if not wandb.login(prompt=False, verify=False):
        raise InputError(
            "the tracker wandb has no key for Weights & Biases",
            "run `wandb login` or set WANDB_API_KEY; without a network: WANDB_MODE=offline",
        )


def _open_trackio(run: TrackedRun) -> Any:
    # Read when trackio is imported.
    os.environ.setdefault("TRACKIO_DIR", str(run.files / "trackio"))
    from accelerate.tracking import TrackioTracker

    return TrackioTracker(
        run.project,
        name=run.name,
        group=run.group[:8],
        # It stores what it is opened with, and not what Accelerate adds to that later.
        config=dict(run.config),
        resume="allow",
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )


def _nothing(*_: Any) -> None:
    return None


def _close(tracker: Any, status: Status) -> None:
    if status != "trained":
        tracker.log({"status": status})
    tracker.finish()


@dataclass(frozen=True)
class Kind:
    """A tracker: what pip installs, what Python imports, how a run is opened and closed in it.

    `keeps_back`: what was logged last is lost if the process is killed, so that all is sent anew.
    """

    package: str
    module: str
    open: Callable[[TrackedRun], Any]
    name: Callable[[Any, TrackedRun], None] = _nothing
    close: Callable[[Any, Status], None] = _close
    check: Callable[[], None] = _nothing
    keeps_back: bool = False


TRACKERS: dict[str, Kind] = {
    "tensorboard": Kind("tensorboard", "tensorboard", _open_tensorboard),
    "mlflow": Kind("mlflow-skinny", "mlflow", _open_mlflow, _name_mlflow, _close_mlflow),
    "wandb": Kind("wandb", "wandb", _open_wandb, check=_check_wandb, keeps_back=True),
    "trackio": Kind("trackio", "trackio", _open_trackio),
}


def check_tracker(name: str) -> None:
    """Makes sure that runs can go to a tracker, before anything is written.

    Raises:
        InputError: it is not in the table, or wants an account.
        DependencyMissingError: its package is not installed.
    """
    if name not in TRACKERS:
        raise InputError(
            f"no tracker '{name}'; allowed: {', '.join(TRACKERS)}",
            "ENTROMASK_TRACKERS and --track name them",
        )
    kind = TRACKERS[name]
    if find_spec(kind.module) is None:
        raise DependencyMissingError(
            f"the tracker {name} needs the package {kind.package}, which is not installed",
            f"pip install {kind.package}",
        )
    kind.check()

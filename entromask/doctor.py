"""`entromask doctor`: what is here, what is missing, and how to get it. Nothing is contacted."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from entromask.errors import EntromaskError
from entromask.settings import Settings, settings

Status = Literal["ok", "note", "missing"]
_GIB = 1024**3
# A run of a small model with its checkpoints and packed text.
_ENOUGH_DISK = 5 * _GIB

# distribution, what it is for; without the first group nothing trains
_NEEDED = (
    ("torch", "training"),
    ("transformers", "models"),
    ("tokenizers", "tokenizers"),
    ("safetensors", "checkpoints"),
    ("accelerate", "CPU, one GPU or several"),
)
_EVALUATION = (
    ("datasets", "parquet files and the Hub"),
    ("evaluate", "GLUE metrics"),
    ("scikit-learn", "GLUE metrics"),
)
_SERVICE = (
    ("fastapi", "the API"),
    ("uvicorn", "the API"),
    ("sqlalchemy", "the database"),
    ("alembic", "the database"),
    ("celery", "the queue"),
    ("redis", "the queue"),
    ("streamlit", "the dashboard"),
    ("vl-convert-python", "charts as PNG"),
)


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, what is there, and what to do where something is not."""

    name: str
    status: Status
    found: str
    advice: str = ""


def diagnose() -> list[Check]:
    """All findings, in the order of a report. Imports torch where it is installed."""
    here = settings()
    return [check for part in _PARTS for check in part(here)]


def _python(here: Settings) -> Iterator[Check]:
    version = platform.python_version()
    fits = (3, 11) <= sys.version_info[:2] <= (3, 13)
    yield Check(
        "Python",
        "ok" if fits else "missing",
        f"{version}, {platform.system()} {platform.machine()}",
        "" if fits else "Entromask is tested with Python 3.11 to 3.13",
    )


def version(package: str) -> str | None:
    """The installed version of a distribution, found without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _packages(here: Settings) -> Iterator[Check]:
    groups: tuple[tuple[str, tuple[tuple[str, str], ...], Status], ...] = (
        ("train", _NEEDED, "missing"),
        ("evaluation", _EVALUATION, "note"),
        ("all", _SERVICE, "note"),
    )
    for extra, rows, status in groups:
        for package, purpose in rows:
            if found := version(package):
                yield Check(package, "ok", found)
            else:
                words = f"not installed; for {purpose}"
                yield Check(package, status, words, f"pip install 'entromask[{extra}]'")


def _redis(here: Settings) -> Iterator[Check]:
    from entromask.embedded_redis import find_redis

    if here.redis_url is not None:
        yield Check("Redis server", "ok", "elsewhere: ENTROMASK_REDIS_URL is set")
        return
    try:
        yield Check("Redis server", "ok", find_redis())
    except EntromaskError as error:
        yield Check(
            "Redis server", "note", f"{error.message}; for `entromask up`", error.hint or ""
        )


def _gpu(here: Settings) -> Iterator[Check]:
    if version("torch") is None:
        return
    import torch

    if not torch.cuda.is_available():
        built = torch.version.cuda
        why = f"torch is built for CUDA {built}, no device is visible" if built else "a CPU build"
        advice = (
            "check nvidia-smi and CUDA_VISIBLE_DEVICES"
            if built
            else "on a GPU box install a torch build with CUDA, as pytorch.org describes"
        )
        yield Check("GPU", "note", f"none: {why}", advice)
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        precision = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        yield Check(
            f"GPU {index}",
            "ok",
            f"{device.name}, {device.total_memory / _GIB:.0f} GiB, {precision}",
        )
    kernels = version("liger-kernel")
    yield Check(
        "liger-kernel",
        "ok" if kernels else "note",
        kernels or "not installed; for a faster entropy on CUDA",
        "" if kernels else "pip install 'entromask[cuda]'",
    )


def _cores(here: Settings) -> Iterator[Check]:
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    threads = os.environ.get("OMP_NUM_THREADS")
    advice = ""
    if threads and threads.isdigit() and int(threads) > cores:
        advice = f"set OMP_NUM_THREADS to {cores} or less: threads that share a core are slow"
    elif not threads and cores > 1:
        advice = "beside other work, OMP_NUM_THREADS=1 is often faster for tiny models"
    yield Check(
        "CPU",
        "note" if threads and advice else "ok",
        f"{cores} cores, OMP_NUM_THREADS {threads or 'not set'}",
        advice,
    )


def _speed(here: Settings) -> Iterator[Check]:
    from entromask.durations import measured_speed

    speed = measured_speed()
    if speed is None:
        yield Check(
            "Training speed",
            "note",
            "not measured: the time of a run is not known before one has finished",
            "a worker measures it when it starts; or: python -m entromask.calibration",
        )
        return
    flops, layer = speed.flops_per_second / 1e9, 1e3 * speed.layer_seconds
    yield Check(
        "Training speed",
        "ok",
        f"{flops:,.0f} GFLOP/s and {layer:.2g} ms a layer, measured on {speed.device}",
    )


def _home(here: Settings) -> Iterator[Check]:
    root = here.root
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    advice = "set ENTROMASK_HOME to a folder that you may write to"
    if not existing.is_dir():
        yield Check("ENTROMASK_HOME", "missing", f"{root}: {existing} is a file", advice)
        return
    if not _writable(existing):
        yield Check("ENTROMASK_HOME", "missing", f"{root}: not writable", advice)
        return
    free = shutil.disk_usage(existing).free
    enough = free >= _ENOUGH_DISK
    yield Check(
        "ENTROMASK_HOME",
        "ok" if enough else "note",
        f"{root}, {free / _GIB:.1f} GiB free",
        ""
        if enough
        else "a run with checkpoints takes some GiB: set ENTROMASK_HOME to a larger disk",
    )


def _writable(folder: Path) -> bool:
    """Tried, not asked: permissions, quotas and read-only mounts all answer here."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _hub(here: Settings) -> Iterator[Check]:
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
    words = {
        "auto": "reached for only where a spec names Hub data (ENTROMASK_HUB=auto)",
        "online": "allowed (ENTROMASK_HUB=online)",
        "offline": "never contacted (ENTROMASK_HUB=offline)",
    }[here.hub]
    if offline and here.hub != "offline":
        yield Check(
            "Hugging Face Hub",
            "note",
            f"{words}, but HF_HUB_OFFLINE is set",
            "unset HF_HUB_OFFLINE to fetch models, corpora or tasks",
        )
        return
    yield Check("Hugging Face Hub", "ok", words)


def _glue(here: Settings) -> Iterator[Check]:
    if not here.glue_folders:
        yield Check(
            "ENTROMASK_GLUE_DIR",
            "note",
            "not set: GLUE and BLiMP come from the Hub, or from evaluation.source",
            "set it to folders with <task>/<split>.jsonl, .csv, .tsv or .parquet, separated by ':'",
        )
        return
    for folder in here.glue_folders:
        there = Path(folder).expanduser().is_dir()
        yield Check(
            "ENTROMASK_GLUE_DIR",
            "ok" if there else "missing",
            folder if there else f"{folder} is no folder",
            "" if there else "correct the path",
        )


_PARTS: tuple[Callable[[Settings], Iterator[Check]], ...] = (
    _python,
    _packages,
    _redis,
    _gpu,
    _cores,
    _speed,
    _home,
    _hub,
    _glue,
)

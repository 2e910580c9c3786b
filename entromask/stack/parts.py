"""What the service is made of: a part is a row."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from entromask.errors import DependencyMissingError
from entromask.hosts import local_url
from entromask.settings import Settings
from entromask.stack.hardware import cores, gpus, shares
from entromask.stack.part import Part

# Started in this order, stopped in the reverse one.
REDIS, API, REAPER, WORKER, DASHBOARD = range(5)
# Beyond the time that a job has for its checkpoint: for the worker to say so and to end.
_MARGIN = 15.0
SHORT = 15.0

MIGRATE = Part("migrate", (sys.executable, "-m", "backend.db.migrate"), API, SHORT)

# What the parts import; all of it comes with one extra.
_NEEDED = (
    "fastapi",
    "uvicorn",
    "sqlalchemy",
    "alembic",
    "celery",
    "redis",
    "torch",
    "transformers",
    "streamlit",
    "vl_convert",
)


def check_installed() -> None:
    """Makes sure that everything is there that the parts import.

    Raises:
        DependencyMissingError: names what is missing and how to get it.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise DependencyMissingError(
            f"`entromask up` needs {', '.join(missing)}, not installed here",
            "pip install 'entromask[all]'",
        )


def parts(here: Settings, workers: int | None) -> list[Part]:
    """Everything but Redis, for so many train workers; default one per GPU, else one."""
    devices = gpus()
    number = workers or len(devices) or 1
    python = sys.executable
    patience = here.grace_seconds + _MARGIN
    found = [
        Part("api", (python, "-m", "backend"), API, SHORT),
        Part("reaper", (python, "-m", "worker.reaper"), REAPER, SHORT),
    ]
    train = (python, "-m", "worker", "--queue", "train")
    for index, share in enumerate(shares(number, devices, cores()), start=1):
        name = "worker" if number == 1 else f"worker-{index}"
        found.append(Part(name, train, WORKER, patience, share))
    # Previews leave the GPUs to training.
    preview = (python, "-m", "worker", "--queue", "preview")
    found.append(
        Part("preview", preview, WORKER, SHORT, shares(1, [], 1)[0] | {"CUDA_VISIBLE_DEVICES": ""})
    )
    # Of this service, whichever one the commands of this shell are about.
    api = {"ENTROMASK_API_URL": local_url(here.api_host, here.api_port)}
    found.append(Part("dashboard", (python, "-m", "frontend"), DASHBOARD, SHORT, api))
    return found

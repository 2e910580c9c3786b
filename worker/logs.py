"""The log of a worker: one line for each thing that happens, on standard error."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from celery import signals
from celery.platforms import SecurityWarning


def set_up_logging() -> None:
    """Lines of time, level, name and message; Celery says only what is wrong."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", force=True
    )
    for noisy in ("celery", "kombu", "alembic", "multiprocessing"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    signals.setup_logging.connect(_keep, weak=False)
    # What runs as root in a container: a message holds nothing but a job's id, as JSON.
    warnings.simplefilter("ignore", SecurityWarning)


def _keep(**_: Any) -> None:
    """Celery leaves the logging alone when somebody listens to this signal."""

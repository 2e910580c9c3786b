"""`entromask up`: the whole service on this machine."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Annotated

import typer

from entromask.errors import DependencyMissingError
from entromask.settings import settings


def up(
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Train workers; default: one per GPU, else one."),
    ] = None,
) -> None:
    """Run Redis, the API, workers and the dashboard on this machine; Ctrl-C stops all."""
    if find_spec("psutil") is None:
        raise DependencyMissingError(
            "`entromask up` needs psutil and more, not installed here",
            "pip install 'entromask[all]'",
        )
    from entromask.stack.service import up as run

    run(settings(), workers, sys.stdout)

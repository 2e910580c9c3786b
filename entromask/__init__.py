"""Entromask: pretrain encoders on the tokens that a model is uncertain about, and compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entromask.client import Client
    from entromask.pipeline import Results, run
    from entromask.spec import RunSpec

__all__ = ["Client", "Results", "RunSpec", "run"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that importing a part of the package imports no more than it needs.
    if name == "RunSpec":
        from entromask.spec import RunSpec

        return RunSpec
    if name == "Client":
        from entromask.client import Client

        return Client
    if name in ("Results", "run"):
        from entromask import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'entromask' has no attribute {name!r}")

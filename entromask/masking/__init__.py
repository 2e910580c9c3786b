"""Which tokens a masked language model is trained to predict: scores, selection, corruption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from entromask.masking.masker import Masker

__all__ = ["Masker"]


def __getattr__(name: str) -> Any:
    # Importing this package must not import torch.
    if name == "Masker":
        from entromask.masking.masker import Masker

        return Masker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

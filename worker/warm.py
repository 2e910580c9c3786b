"""Imports what jobs need, in the server that they are forked from.

It runs no torch operation and asks nothing of CUDA: threads and devices do not survive a fork.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from contextlib import suppress

import entromask

_PACKAGES = ("analysis", "glue", "masking", "modeling", "text", "training")
_MODULES = (
    "accelerate",
    "entromask.evaluating",
    "entromask.pipeline",
    "scipy.stats",
    "sklearn.metrics",
    "tokenizers.trainers",
    "torch._dynamo",  # by the first optimizer
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.distilbert.modeling_distilbert",
    "transformers.models.electra.modeling_electra",
    "transformers.models.modernbert.modeling_modernbert",
    "transformers.models.roberta.modeling_roberta",
    "transformers.safetensors_conversion",
    "transformers.tokenization_utils_tokenizers",
)


def _modules() -> Iterator[str]:
    yield from _MODULES
    for package in _PACKAGES:
        folders = [f"{folder}/{package}" for folder in entromask.__path__]
        for module in pkgutil.iter_modules(folders, f"entromask.{package}."):
            yield module.name


def warm_up() -> None:
    """Imports them; what cannot be imported is for the job that needs it to say."""
    for module in _modules():
        with suppress(Exception):
            importlib.import_module(module)

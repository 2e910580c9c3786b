"""Finished runs, read back from their folders: spec, results and environment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from entromask.errors import InputError
from entromask.spec import RunSpec, run_folder


@dataclass(frozen=True)
class Run:
    """A finished run. `results` is its results.json, `environment` its environment.json.

    `id` is that of the service that did the run.
    """

    name: str
    spec: RunSpec
    results: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    id: str | None = None

    @cached_property
    def group(self) -> str:
        return str(self.results.get("group_hash") or self.spec.group_hash)

    @cached_property
    def tokenizer_identity(self) -> str:
        """The tokenizer by content: trained here, or read from the run that trained it."""
        found = _of_tokenizer(self.folder / "model" / "tokenizer.json") if self.folder else None
        if found is not None:
            return found
        tokenizer = self.spec.resolved().tokenizer
        return _digest(tokenizer.model_dump() if tokenizer else None)

    @cached_property
    def corpus_identity(self) -> str:
        """The corpus by content where the run recorded it, by its place in the spec otherwise."""
        recorded = (self.environment.get("corpus") or {}).get("fingerprint")
        return str(recorded) if recorded else _digest(self.spec.corpus.model_dump())


def read_run(name: str) -> Run:
    """The run in a folder, or with an id under ENTROMASK_HOME/runs.

    Raises:
        InputError: there is no such run, it has not finished, or its files are damaged.
    """
    folder = run_folder(name)
    results = read_json(folder / "results.json")
    if results is None:
        raise InputError(
            f"run {folder} has no results.json: it has not finished",
            f"finish it: entromask run {folder / 'spec.yaml'} --output {folder} --resume",
        )
    spec = RunSpec.load(folder / "spec.yaml")
    environment = read_json(folder / "environment.json") or {}
    return Run(spec.name, spec, results, environment, folder)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None where there is no file.

    Raises:
        InputError: it is damaged.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InputError(f"{path} is damaged: it holds no JSON object", "run it again")
    return data


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _of_tokenizer(file: Path) -> str | None:
    """A digest of a tokenizer's file; None where there is none, or where it is damaged."""
    try:
        found = file.stat()
        return _tokenizer_digest(file, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _tokenizer_digest(file: Path, _changed_at: int, _size: int) -> str:
    """Of what makes tokens of text. Reading it takes a while, and a service is asked often."""
    data = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise ValueError(file)
    return _digest({key: data.get(key) for key in ("model", "normalizer")})

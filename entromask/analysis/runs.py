"""Finished runs, read back from their folders: spec, results and environment."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from entromask.errors import InputError
from entromask.spec import RunSpec, run_folder


@dataclass(frozen=True)
class Run:
    """A finished run. `results` is its results.json, `environment` its environment.json."""

    name: str
    spec: RunSpec
    results: Mapping[str, Any]
    environment: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None

    @cached_property
    def group(self) -> str:
        return str(self.results.get("group_hash") or self.spec.group_hash)

    @cached_property
    def tokenizer_identity(self) -> str:
        """The tokenizer by content: trained here, or read from the run that trained it."""
        if self.folder is not None:
            file = self.folder / "model" / "tokenizer.json"
            if file.is_file():
                data = json.loads(file.read_text(encoding="utf-8"))
                return _digest({key: data.get(key) for key in ("model", "normalizer")})
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
    results = _read_json(folder / "results.json")
    if results is None:
        raise InputError(
            f"run {folder} has no results.json: it has not finished",
            f"finish it: entromask run {folder / 'spec.yaml'} --output {folder} --resume",
        )
    spec = RunSpec.load(folder / "spec.yaml")
    environment = _read_json(folder / "environment.json") or {}
    return Run(spec.name, spec, results, environment, folder)


def _read_json(path: Path) -> dict[str, Any] | None:
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

"""Runs that have ended, in a database: what they found is made up."""

from __future__ import annotations

import json
from typing import Any

from backend.db.engine import Database
from backend.store.runs import create_run, keep_results
from entromask.settings import settings
from tests.entromask.analysis import build


def finished(
    database: Database,
    name: str,
    tasks: dict[str, tuple[float, ...]] | None = None,
    *,
    spec: dict[str, Any] | None = None,
    status: str = "succeeded",
    **figures: Any,
) -> tuple[str, str]:
    """The id and the group hash of a run with results.

    Args:
        tasks: scores for each fine-tuning seed.
        spec: changes of the spec.
        figures: changes of single numbers of its results.json.
    """
    resolved = build.spec(name, **(spec or {}))
    with database.write() as session:
        run = create_run(session, resolved)
        keep_results(session, run.id, build.results(tasks, **figures))
        run.status = status
        return run.id, run.group_hash


def write_folder(run_id: str, fingerprint: str, vocabulary: dict[str, int]) -> None:
    """What a run's folder tells of its corpus and its tokenizer."""
    folder = settings().runs / run_id
    (folder / "model").mkdir(parents=True)
    environment = {"corpus": {"fingerprint": fingerprint}}
    (folder / "environment.json").write_text(json.dumps(environment))
    tokenizer = {"model": {"vocab": vocabulary}, "normalizer": None}
    (folder / "model" / "tokenizer.json").write_text(json.dumps(tokenizer))

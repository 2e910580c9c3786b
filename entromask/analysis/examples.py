"""What a run answered on every test example, read back from the files of its evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entromask.glue.cells import cell_file, fingerprint
from entromask.glue.tasks import TASKS, Task

Array = NDArray[Any]

_CREDIT = {"1": 1.0, "=": 0.5, "0": 0.0}


@dataclass(frozen=True)
class Split:
    """One split of a task, or one paradigm of BLiMP.

    `answers` [fine-tuning seeds, N]: a class or a number for each row; of minimal pairs 1 (won),
    0 (lost) or 0.5 (tied). `references` [N]: the labels; None of minimal pairs.
    """

    answers: Array
    references: Array | None


@dataclass(frozen=True)
class TaskExamples:
    """A run's answers on a task's evaluation rows, by split (of BLiMP by paradigm)."""

    task: Task
    splits: Mapping[str, Split]

    @property
    def identity(self) -> str:
        """A digest of the rows as far as they are known: only what has the same can be paired."""
        rows = {
            name: split.answers.shape[1] if split.references is None else split.references.tolist()
            for name, split in sorted(self.splits.items())
        }
        return fingerprint([self.task.name, rows])


def read_examples(
    folder: Path, task: str | Task, fine_tuning_seeds: Sequence[int]
) -> TaskExamples | None:
    """A run's answers on every test example of a task.

    Args:
        folder: of the run.
        task: a key of `TASKS`, or the task.
        fine_tuning_seeds: those to read; a zero-shot task has none.

    Returns:
        None where a file is missing, damaged, without labels, or of other rows than the first
        seed's: then only the seeds' scores are known.
    """
    task = TASKS[task] if isinstance(task, str) else task
    seeds: Sequence[int | None] = [None] if task.kind == "minimal-pairs" else fine_tuning_seeds
    cells = [_cell(cell_file(folder / "evaluation", task.name, seed), task) for seed in seeds]
    if not cells or any(cell is None for cell in cells):
        return None
    merged = _merged([cell for cell in cells if cell is not None])
    return TaskExamples(task, merged) if merged else None


def _cell(file: Path, task: Task) -> Mapping[str, Split] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return _read(file, task, found.st_mtime_ns, found.st_size)


# A service is asked for the same report again and again; a cell of QQP is 0.5 MB here.
@lru_cache(maxsize=128)
def _read(file: Path, task: Task, _changed_at: int, _size: int) -> Mapping[str, Split] | None:
    try:
        cell = json.loads(file.read_bytes())
        if cell.pop("sha256") != fingerprint(cell):
            return None
        result = cell["result"]
        if task.kind == "minimal-pairs":
            return {name: _pairs(won) for name, won in result["outcomes"].items()}
        return {
            split: _rows(task, result["predictions"][split], result["references"][split])
            for split in task.evaluation
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Of an earlier version, which kept no answers, or damaged.
        return None


def _pairs(won: str) -> Split:
    if not won:
        raise ValueError("a paradigm without pairs")
    return Split(np.array([[_CREDIT[mark] for mark in won]]), None)


def _rows(task: Task, predictions: list[Any], labels: list[Any]) -> Split:
    kind = np.float64 if task.labels == 0 else np.int32
    answers, references = np.asarray(predictions, np.float64), np.asarray(labels, kind)
    if task.labels:
        answers = answers.argmax(-1).astype(kind)
    if answers.shape != references.shape or not answers.size:
        raise ValueError("not one answer for each label")
    if task.labels and references.min() < 0:
        raise ValueError("-1 stands for no label")
    return Split(answers[None], references)


def _merged(cells: Sequence[Mapping[str, Split]]) -> Mapping[str, Split] | None:
    """The splits with the answers of all fine-tuning seeds; None where the rows differ."""
    first = cells[0]
    for cell in cells[1:]:
        for name, split in first.items():
            if not np.array_equal(cell[name].references, split.references):  # type: ignore[arg-type]
                return None
    return {
        name: Split(np.concatenate([cell[name].answers for cell in cells]), split.references)
        for name, split in first.items()
    }

"""The rows of a task, from a local folder, the Hub or the demo, with every row checked."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entromask.errors import InputError
from entromask.glue.files import find_split, read_rows
from entromask.glue.tasks import TASKS, Task
from entromask.settings import settings
from entromask.spec import Evaluation, TaskSource

Columns = dict[str, list[Any]]

GLUE_ON_HUB = "nyu-mll/glue"
BLIMP_ON_HUB = "nyu-mll/blimp"
# Beside the two sentences: the phenomenon and the paradigm of a minimal pair.
_BLIMP_COLUMNS = ("sentence_good", "sentence_bad", "linguistics_term", "UID")
_SIMILARITY = (0.0, 5.0)
_LAYOUT = (
    "a local folder holds DIR/<task>/<split>.jsonl, .parquet or .tsv (also .gz), with the columns "
    "of nyu-mll/glue; set evaluation.source.local or ENTROMASK_GLUE_DIR"
)


@dataclass(frozen=True)
class TaskData:
    """A task with its rows.

    `splits` maps a split's name to its columns: the task's text columns as lists of str, and
    `label` as a list of int (float for a regression; BLiMP has none). `fingerprint` is the
    SHA-256 of all of them.
    """

    task: Task
    splits: dict[str, Columns]
    fingerprint: str

    def references(self, split: str) -> list[Any]:
        """The labels of `split`."""
        return self.splits[split]["label"]

    @property
    def rows(self) -> int:
        """The number of rows (BLiMP: pairs) that are scored."""
        return sum(_length(self.splits[split]) for split in self.task.evaluation)


def load_task(name: str, source: TaskSource | None = None) -> TaskData:
    """The checked rows of a task: its training split, if it has one, and the splits it scores.

    Args:
        name: a key of `TASKS`.
        source: None means ENTROMASK_GLUE_DIR where it is set, else the Hub.

    Raises:
        InputError: a file, split or column is missing or damaged, or a value is not allowed.
        DependencyMissingError: the Hub cannot be reached.
    """
    task = TASKS[name]
    if task.kind == "demo":
        from entromask.glue.demo import demo_splits

        return _task_data(task, demo_splits(name))
    reader = _reader(task, source)
    splits = {split: reader.read(split) for split in task.evaluation}
    if task.kind == "diagnostic":
        _need_labels(task, splits, reader)
    if task.trained_on is not None:
        splits["train"] = load_training(task, source)
    elif task.kind != "minimal-pairs":
        splits["train"] = reader.read("train")
    return _task_data(task, splits)


def task_on_hub(name: str, source: TaskSource | None) -> bool:
    """Whether `load_task` would read this task from the Hub."""
    task = TASKS[name]
    folders = settings().glue_folders if source is None else source.folders
    return task.kind != "demo" and not folders


def load_training(task: Task, source: TaskSource | None) -> Columns:
    """The training rows of the task that `task` is trained on, under the names of its columns."""
    parent = TASKS[str(task.trained_on)]
    rows = _reader(parent, source).read("train")
    renamed = dict(zip(parent.columns, task.columns, strict=True))
    return {renamed.get(column, column): values for column, values in rows.items()}


def check_tasks(evaluation: Evaluation) -> None:
    """Reads and checks all data of an evaluation; writes nothing.

    Raises:
        InputError, DependencyMissingError: as `load_task`, for the first task that fails.
    """
    for name in evaluation.tasks:
        load_task(name, evaluation.source)


class _LocalReader:
    """A task's folder: the first of the given ones that holds the task."""

    def __init__(self, task: Task, folders: list[str]) -> None:
        self.task = task
        candidates = [Path(folder).expanduser() / task.name for folder in folders]
        found = [folder for folder in candidates if folder.is_dir()]
        if not found:
            where = ", ".join(str(folder) for folder in candidates)
            raise InputError(f"task {task.name}: no folder {where}", _LAYOUT)
        self.folder = found[0]
        self.name = str(self.folder)

    def read(self, split: str) -> Columns:
        if self.task.kind == "minimal-pairs":
            # One file or one file a paradigm, whatever their names.
            files = sorted([*self.folder.glob("*.jsonl"), *self.folder.glob("*.jsonl.gz")])
            wanted = "*.jsonl or *.jsonl.gz"
        else:
            files = find_split(self.folder, split)
            wanted = f"{split}.jsonl, .parquet or .tsv (also .gz)"
        if not files:
            raise InputError(
                f"task {self.task.name}: the split '{split}' is missing: no {wanted} in "
                f"{self.folder}",
                _LAYOUT,
            )
        names = _columns(self.task)
        parts = [_checked(self.task, split, read_rows(file, names), str(file)) for file in files]
        return {column: [v for part in parts for v in part[column]] for column in parts[0]}


class _HubReader:
    """A task's configuration in a data set of the Hub."""

    def __init__(self, task: Task, name: str) -> None:
        self.task = task
        self.name = f"{name} on the Hub"
        self._dataset = name

    def read(self, split: str) -> Columns:
        if self.task.kind == "minimal-pairs":
            from entromask.glue.paradigms import PARADIGMS

            # The Hub's BLiMP has one configuration a paradigm, and one split called train.
            parts = [self._load(paradigm, "train", split) for paradigm in PARADIGMS]
            return {column: [v for part in parts for v in part[column]] for column in parts[0]}
        return self._load(self.task.name, split, split)

    def _load(self, config: str, hub_split: str, split: str) -> Columns:
        from entromask.hub import hub_errors

        with hub_errors(f"{self._dataset} ({config})"):
            import datasets

            datasets.disable_progress_bars()
            loaded = datasets.load_dataset(self._dataset, config)
        origin = f"{self._dataset}, configuration {config}"
        if hub_split not in loaded:
            raise InputError(
                f"task {self.task.name}: {origin} has no split '{hub_split}', only "
                + ", ".join(loaded),
                "use nyu-mll/glue, or a copy with the same splits",
            )
        rows = loaded[hub_split]
        names = _columns(self.task)
        columns = {name: list(rows[name]) for name in names if name in rows.column_names}
        return _checked(self.task, split, columns, f"{origin}, split {hub_split}")


def _reader(task: Task, source: TaskSource | None) -> _LocalReader | _HubReader:
    folders = settings().glue_folders if source is None else source.folders
    if folders:
        return _LocalReader(task, folders)
    if task.kind == "minimal-pairs":
        return _HubReader(task, BLIMP_ON_HUB)
    return _HubReader(task, source.hub if source and source.hub else GLUE_ON_HUB)


def _columns(task: Task) -> tuple[str, ...]:
    return _BLIMP_COLUMNS if task.kind == "minimal-pairs" else (*task.columns, "label")


def _checked(task: Task, split: str, rows: Columns, origin: str) -> Columns:
    """The task's columns of `rows`, every value checked; rows are counted from 1 in messages."""
    names = _columns(task)
    for name in names:
        if name not in rows:
            raise InputError(
                f"task {task.name}: {origin} has no column '{name}', only {', '.join(rows)}",
                f"the columns of {task.name} are {', '.join(names)}",
            )
    columns = {name: rows[name] for name in names}
    if _length(columns) == 0:
        raise InputError(f"task {task.name}: {origin} has no rows", _LAYOUT)
    for name in names:
        if name == "label":
            columns[name] = _labels(task, split, columns[name], origin)
            continue
        for number, value in enumerate(columns[name], 1):
            if not isinstance(value, str):
                raise InputError(
                    f"task {task.name}: row {number} of {origin} has {value!r} in the column "
                    f"'{name}', which holds text",
                    "mend or remove the row",
                )
    return columns


def _labels(task: Task, split: str, values: list[Any], origin: str) -> list[Any]:
    unlabelled = task.kind == "diagnostic" and split == "test"
    if unlabelled and all(_integer(value) == -1 for value in values):
        return [-1] * len(values)
    if task.labels == 0:
        low, high = _SIMILARITY
        allowed = f"a number from {low:g} to {high:g}"
    else:
        allowed = "one of " + ", ".join(str(label) for label in range(task.labels))
    labels: list[Any] = []
    for number, value in enumerate(values, 1):
        label = _number(value) if task.labels == 0 else _integer(value)
        if task.labels == 0:
            valid = label is not None and low <= label <= high
        else:
            valid = label is not None and 0 <= label < task.labels
        if not valid:
            raise InputError(
                f"task {task.name}: row {number} of {origin} has the label {value!r}; a label "
                f"of {task.name} is {allowed}",
                "-1 marks rows without a label, which cannot be scored or trained on"
                if label == -1
                else "mend or remove the row",
            )
        labels.append(label)
    return labels


def _number(value: Any) -> float | None:
    """A finite number, also from the text of a .tsv file."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None


def _need_labels(task: Task, splits: dict[str, Columns], reader: _LocalReader | _HubReader) -> None:
    if any(label == -1 for split in splits.values() for label in split["label"]):
        raise InputError(
            f"task {task.name}: the diagnostic set in {reader.name} has no labels (all are -1), "
            "so that it cannot be scored",
            f"remove {task.name} from evaluation.tasks, or put a labelled copy first in "
            "evaluation.source.local",
        )


def _task_data(task: Task, splits: dict[str, Columns]) -> TaskData:
    digest = hashlib.sha256(task.name.encode())
    for split in sorted(splits):
        for column in sorted(splits[split]):
            digest.update(json.dumps([split, column, splits[split][column]]).encode())
    return TaskData(task, splits, digest.hexdigest())


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()), []))

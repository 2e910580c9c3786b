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
    "a local folder holds DIR/<task>/<split>.jsonl, .parquet, .tsv or .csv (also .gz), with the "
    "columns of nyu-mll/glue; set evaluation.source.local or ENTROMASK_GLUE_DIR"
)
_USER_LAYOUT = (
    "the folder of a user task holds <split>.jsonl, .parquet, .tsv or .csv (also .gz), with its "
    "text columns and the column label"
)
# Of the sample of training rows: the same for every fine-tuning seed.
_SEED = 0


@dataclass(frozen=True)
class TaskData:
    """A task with its rows.

    `splits` maps a split's name to its columns: the task's text columns as lists of str, and
    `label` as a list of int (float for a regression; BLiMP has none). `fingerprint` is the
    SHA-256 of those that are trained on and scored, `test_fingerprint` that of `test`, the splits
    that are only predicted (their labels are -1). `train_of` is the number of training rows that
    the ones here were drawn from; None where there is no limit.
    """

    task: Task
    splits: dict[str, Columns]
    fingerprint: str
    test: tuple[str, ...] = ()
    test_fingerprint: str = ""
    train_of: int | None = None

    def references(self, split: str) -> list[Any]:
        """The labels of `split`."""
        return self.splits[split]["label"]

    @property
    def rows(self) -> int:
        """The number of rows (BLiMP: pairs) that are scored."""
        return sum(_length(self.splits[split]) for split in self.task.evaluation)

    @property
    def train_rows(self) -> dict[str, Any]:
        """How many training rows are used, and of how many."""
        return {"used": _length(self.splits["train"]), "of": self.train_of}

    @property
    def scored(self) -> bool:
        """Whether there are labels to score by: the usual copies of AX have none."""
        return self.task.kind != "diagnostic" or any(
            label != -1 for split in self.task.evaluation for label in self.references(split)
        )


def load_for(evaluation: Evaluation, name: str) -> TaskData:
    """The rows of one of an evaluation's tasks, as it asks for them.

    Raises:
        InputError, DependencyMissingError: as `load_task`.
    """
    return load_task(
        evaluation.task(name),
        evaluation.source,
        test=evaluation.predict_test,
        max_train_rows=evaluation.max_train_rows,
    )


def load_task(
    task: str | Task,
    source: TaskSource | None = None,
    *,
    test: bool = False,
    max_train_rows: int | None = None,
) -> TaskData:
    """The checked rows of a task: its training split, if it has one, and the splits it scores.

    Args:
        task: a key of `TASKS`, or the task.
        source: of all but user tasks; None means ENTROMASK_GLUE_DIR where it is set, else the Hub.
        test: also its test splits.
        max_train_rows: a random sample of so many training rows, always the same one, in their
            order; it is part of that of a larger number.

    Raises:
        InputError: a file, split or column is missing or damaged, or a value is not allowed.
        DependencyMissingError: the Hub cannot be reached.
    """
    task = TASKS[task] if isinstance(task, str) else task
    if task.kind == "demo":
        from entromask.glue.demo import demo_splits

        splits = demo_splits(task.name)
        return _task_data(task, splits, {}, max_train_rows)
    reader = _reader(task, source)
    splits = {split: reader.read(split) for split in task.evaluation}
    if task.trained_on is not None:
        splits["train"] = load_training(task, source)
    elif task.kind != "minimal-pairs":
        splits["train"] = reader.read(task.train)
    unlabelled = {split for split in splits if _unlabelled(splits[split])}
    wanted = [split for split in task.test if test or split in unlabelled]
    tests = {split: splits.get(split) or reader.read_test(split) for split in wanted}
    return _task_data(task, splits, tests, max_train_rows)


def task_on_hub(task: Task, source: TaskSource | None) -> bool:
    """Whether `load_task` would read this task from the Hub."""
    folders = settings().glue_folders if source is None else source.folders
    return task.kind not in ("demo", "user") and not folders


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
    for name in needed_tasks(evaluation):
        load_for(evaluation, name)


def needed_tasks(evaluation: Evaluation) -> list[str]:
    """The tasks whose rows an evaluation reads: its own, and the one that others start from."""
    start = [evaluation.intermediate] if evaluation.intermediate else []
    return list(dict.fromkeys([*evaluation.tasks, *start]))


class _LocalReader:
    """A task's folder: the first of the candidates that there is."""

    def __init__(self, task: Task, candidates: list[Path]) -> None:
        self.task = task
        found = [folder for folder in candidates if folder.is_dir()]
        if not found:
            where = ", ".join(str(folder) for folder in candidates)
            raise InputError(f"task {task.name}: no folder {where}", _layout(task))
        self.folder = found[0]

    def read(self, split: str) -> Columns:
        return self._read(split, _columns(self.task))

    def read_test(self, split: str) -> Columns:
        """A split that is only predicted: its labels are not read."""
        return self._read(split, self.task.columns)

    def _read(self, split: str, names: tuple[str, ...]) -> Columns:
        if self.task.kind == "minimal-pairs":
            # One file or one file a paradigm, whatever their names.
            files = sorted([*self.folder.glob("*.jsonl"), *self.folder.glob("*.jsonl.gz")])
            wanted = "*.jsonl or *.jsonl.gz"
        else:
            files = find_split(self.folder, split)
            wanted = f"{split}.jsonl, .parquet, .tsv or .csv (also .gz)"
        if not files:
            raise InputError(
                f"task {self.task.name}: the split '{split}' is missing: no {wanted} in "
                f"{self.folder}",
                _missing_hint(self.task, split),
            )
        parts = [_checked(self.task, names, read_rows(file, names), str(file)) for file in files]
        return {column: [v for part in parts for v in part[column]] for column in parts[0]}


class _HubReader:
    """A task's configuration in a data set of the Hub."""

    def __init__(self, task: Task, name: str) -> None:
        self.task = task
        self._dataset = name

    def read(self, split: str) -> Columns:
        names = _columns(self.task)
        if self.task.kind == "minimal-pairs":
            from entromask.glue.paradigms import PARADIGMS

            # The Hub's BLiMP has one configuration a paradigm, and one split called train.
            parts = [self._load(paradigm, "train", names) for paradigm in PARADIGMS]
            return {column: [v for part in parts for v in part[column]] for column in parts[0]}
        return self._load(self.task.name, split, names)

    def read_test(self, split: str) -> Columns:
        """A split that is only predicted: its labels are not read."""
        return self._load(self.task.name, split, self.task.columns)

    def _load(self, config: str, split: str, names: tuple[str, ...]) -> Columns:
        from entromask.hub import hub_errors

        with hub_errors(f"{self._dataset} ({config})"):
            import datasets

            datasets.disable_progress_bars()
            loaded = datasets.load_dataset(self._dataset, config)
        origin = f"{self._dataset}, configuration {config}"
        if split not in loaded:
            raise InputError(
                f"task {self.task.name}: {origin} has no split '{split}', only "
                + ", ".join(loaded),
                "use nyu-mll/glue, or a copy with the same splits",
            )
        rows = loaded[split]
        columns = {name: list(rows[name]) for name in names if name in rows.column_names}
        return _checked(self.task, names, columns, f"{origin}, split {split}")


def _reader(task: Task, source: TaskSource | None) -> _LocalReader | _HubReader:
    if task.folder is not None:
        return _LocalReader(task, [Path(task.folder).expanduser()])
    folders = settings().glue_folders if source is None else source.folders
    if folders:
        return _LocalReader(task, [Path(folder).expanduser() / task.name for folder in folders])
    if task.kind == "minimal-pairs":
        return _HubReader(task, BLIMP_ON_HUB)
    return _HubReader(task, source.hub if source and source.hub else GLUE_ON_HUB)


def _columns(task: Task) -> tuple[str, ...]:
    return _BLIMP_COLUMNS if task.kind == "minimal-pairs" else (*task.columns, "label")


def _layout(task: Task) -> str:
    return _USER_LAYOUT if task.kind == "user" else _LAYOUT


def _missing_hint(task: Task, split: str) -> str:
    if split in task.test and split not in task.evaluation:
        return (
            f"put the test split there, which evaluation.predict_test needs, or take {task.name} "
            "from evaluation.tasks"
        )
    return _layout(task)


def _checked(task: Task, names: tuple[str, ...], rows: Columns, origin: str) -> Columns:
    """These columns of `rows`, every value checked; rows are counted from 1 in messages."""
    for name in names:
        if name not in rows:
            raise InputError(
                f"task {task.name}: {origin} has no column '{name}', only {', '.join(rows)}",
                f"the columns of {task.name} are {', '.join(_columns(task))}",
            )
    columns = {name: rows[name] for name in names}
    if _length(columns) == 0:
        raise InputError(f"task {task.name}: {origin} has no rows", _layout(task))
    for name in names:
        if name == "label":
            columns[name] = _labels(task, columns[name], origin)
            continue
        for number, value in enumerate(columns[name], 1):
            if not isinstance(value, str):
                raise InputError(
                    f"task {task.name}: row {number} of {origin} has {value!r} in the column "
                    f"'{name}', which holds text",
                    "mend or remove the row",
                )
    return columns


def _labels(task: Task, values: list[Any], origin: str) -> list[Any]:
    """The labels as numbers."""
    if task.kind == "diagnostic" and all(_integer(value) == -1 for value in values):
        return [-1] * len(values)
    labels: list[Any] = []
    for number, value in enumerate(values, 1):
        label = _label(task, value)
        if label is None:
            raise InputError(
                f"task {task.name}: row {number} of {origin} has the label {value!r}; a label "
                f"of {task.name} is {_allowed(task)}",
                "-1 marks rows without a label, which cannot be scored or trained on"
                if _number(value) == -1
                else "mend or remove the row",
            )
        labels.append(label)
    return labels


def _label(task: Task, value: Any) -> int | float | None:
    """A label of the file as a number; None where it is none of the task's."""
    if task.label_names:
        # Names may be numbers, such as stars, which a .jsonl file need not quote.
        text = str(value) if type(value) in (str, int) else None
        return task.label_names.index(text) if text in task.label_names else None
    if task.labels:
        label = _integer(value)
        return label if label is not None and 0 <= label < task.labels else None
    number = _number(value)
    low, high = _range(task)
    return number if number is not None and low <= number <= high else None


def _allowed(task: Task) -> str:
    if task.labels == 0:
        low, high = _range(task)
        return "a number" if math.isinf(high) else f"a number from {low:g} to {high:g}"
    return "one of " + ", ".join(task.label_names or map(str, range(task.labels)))


def _range(task: Task) -> tuple[float, float]:
    return (-math.inf, math.inf) if task.kind == "user" else _SIMILARITY


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


def _unlabelled(columns: Columns) -> bool:
    return "label" in columns and all(label == -1 for label in columns["label"])


def _task_data(
    task: Task, splits: dict[str, Columns], tests: dict[str, Columns], max_train_rows: int | None
) -> TaskData:
    train_of = None
    if max_train_rows is not None and "train" in splits:
        train_of = _length(splits["train"])
        splits = splits | {"train": _sample(splits["train"], max_train_rows)}
    # What a user's task is called says nothing about it.
    definition = (task.labels, task.metrics, task.evaluation) if task.kind == "user" else ()
    return TaskData(
        task,
        _predicted_only(tests) | splits,
        _digest(task.name, splits, definition),
        tuple(tests),
        _digest(task.name, tests) if tests else "",
        train_of,
    )


def _sample(rows: Columns, count: int) -> Columns:
    import numpy as np

    order = np.random.default_rng(_SEED).permutation(_length(rows))
    chosen = np.sort(order[:count]).tolist()
    return {column: [values[row] for row in chosen] for column, values in rows.items()}


def _predicted_only(tests: dict[str, Columns]) -> dict[str, Columns]:
    return {
        split: {**columns, "label": [-1] * _length(columns)} for split, columns in tests.items()
    }


def _digest(name: str, splits: dict[str, Columns], definition: tuple[Any, ...] = ()) -> str:
    """SHA-256 of all values; the names of splits and columns count, their order does not."""
    digest = hashlib.sha256(name.encode())
    if definition:
        digest.update(json.dumps(definition).encode())
    for split in sorted(splits):
        for column in sorted(splits[split]):
            digest.update(json.dumps([split, column, splits[split][column]]).encode())
    return digest.hexdigest()


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values()), []))

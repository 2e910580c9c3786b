"""The rows of a task, from a local folder, the Hub or the demo, with every row checked."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from entromask.errors import InputError
from entromask.glue.tasks import TASKS, Task
from entromask.settings import settings
from entromask.spec import Evaluation, TaskSource
from entromask.text.folders import split_files, stem_of, visible_entries
from entromask.text.statistics import Notes
from entromask.text.tables import TABLE_SUFFIXES, allowed_suffixes, missing_column, read_table
from entromask.text.unicode import replace_surrogates

Columns = dict[str, list[Any]]

GLUE_ON_HUB = "nyu-mll/glue"
BLIMP_ON_HUB = "nyu-mll/blimp"
# Beside the two sentences: the phenomenon and the paradigm of a minimal pair.
_BLIMP_COLUMNS = ("sentence_good", "sentence_bad", "linguistics_term", "UID")
_SIMILARITY = (0.0, 5.0)
_FILES = (
    f"<split>{allowed_suffixes(TABLE_SUFFIXES)}, or its shards <split>-00000-of-00002, or a folder "
    "of save_to_disk"
)
_LAYOUT = (
    f"a local folder holds DIR/<task>/ with {_FILES}, with the columns of nyu-mll/glue; set "
    "evaluation.source.local or ENTROMASK_GLUE_DIR"
)
_USER_LAYOUT = (
    f"the folder of a user task holds {_FILES}, with its text columns and the column label"
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
    the ones here were drawn from; None where there is no limit. `notes` counts characters that
    were not Unicode, and suspiciously long fields.
    """

    task: Task
    splits: dict[str, Columns]
    fingerprint: str
    test: tuple[str, ...] = ()
    test_fingerprint: str = ""
    train_of: int | None = None
    notes: Notes = field(default_factory=Notes)

    def references(self, split: str) -> list[Any]:
        """The labels of `split`."""
        return self.splits[split]["label"]

    @property
    def rows(self) -> int:
        """The number of rows (BLiMP: pairs) that are scored."""
        return sum(_length(self.splits[split]) for split in self.task.evaluation)

    @property
    def train_rows(self) -> dict[str, int]:
        """How many training rows are used, and of how many; zero-shot tasks have none."""
        used = _length(self.splits.get("train", {}))
        return {"used": used, "of": used if self.train_of is None else self.train_of}

    def summary(self) -> str:
        """The numbers of rows in one line."""
        used, of = self.train_rows["used"], self.train_rows["of"]
        training = f"{used:,} training rows" + (f" of {of:,}" if of > used else "")
        scored = f"{self.rows:,} {'pairs' if self.task.kind == 'minimal-pairs' else 'rows'}"
        predicted = sum(_length(self.splits[split]) for split in self.test)
        return (
            f"task {self.task.name}: "
            + (f"{training}, " if used else "")
            + f"{scored} scored"
            + (f", {predicted:,} predicted" if predicted else "")
        )

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
    notes = Notes()
    if task.kind == "demo":
        from entromask.glue.demo import demo_splits

        splits = demo_splits(task.name)
        return _task_data(task, splits, {}, max_train_rows, notes)
    reader = _reader(task, source, notes)
    splits = {split: reader.read(split) for split in task.evaluation}
    if task.trained_on is not None:
        splits["train"] = load_training(task, source, notes)
    elif task.kind != "minimal-pairs":
        splits["train"] = reader.read(task.train)
    unlabelled = {split for split in splits if _unlabelled(splits[split])}
    wanted = [split for split in task.test if test or split in unlabelled]
    tests = {split: splits.get(split) or reader.read_test(split) for split in wanted}
    return _task_data(task, splits, tests, max_train_rows, notes)


def task_on_hub(task: Task, source: TaskSource | None) -> bool:
    """Whether `load_task` would read this task from the Hub."""
    folders = settings().glue_folders if source is None else source.folders
    return task.kind not in ("demo", "user") and not folders


def load_training(task: Task, source: TaskSource | None, notes: Notes | None = None) -> Columns:
    """The training rows of the task that `task` is trained on, under the names of its columns."""
    parent = TASKS[str(task.trained_on)]
    rows = _reader(parent, source, notes or Notes()).read("train")
    renamed = dict(zip(parent.columns, task.columns, strict=True))
    return {renamed.get(column, column): values for column, values in rows.items()}


@dataclass(frozen=True)
class TaskSummary:
    """What a run shows of a task as it starts: its numbers of rows, and what is odd in them."""

    summary: str
    warnings: list[str]


def check_tasks(evaluation: Evaluation) -> list[TaskSummary]:
    """Reads and checks all data of an evaluation; writes nothing.

    Raises:
        InputError, DependencyMissingError: as `load_task`, for the first task that fails.
    """
    return [_summary(load_for(evaluation, name)) for name in needed_tasks(evaluation)]


def _summary(data: TaskData) -> TaskSummary:
    warnings = [f"task {data.task.name}: {warning}" for warning in data.notes.warnings()]
    return TaskSummary(data.summary(), warnings)


def needed_tasks(evaluation: Evaluation) -> list[str]:
    """The tasks whose rows an evaluation reads: its own, and the one that others start from."""
    start = [evaluation.intermediate] if evaluation.intermediate else []
    return list(dict.fromkeys([*evaluation.tasks, *start]))


class _LocalReader:
    """A task's folder: the first of the candidates that there is."""

    def __init__(self, task: Task, candidates: list[Path], notes: Notes) -> None:
        self.task, self.notes = task, notes
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
        try:
            files = self._files(split)
            parts = [self._rows(file, names) for file in files]
        except InputError as error:
            raise InputError(f"task {self.task.name}: {error.message}", error.hint) from None
        if not files:
            wanted = "table" if self.task.kind == "minimal-pairs" else f"{split}.* file"
            raise InputError(
                f"task {self.task.name}: the split '{split}' is missing: no {wanted} in "
                f"{self.folder}; allowed: {allowed_suffixes(TABLE_SUFFIXES)}",
                _missing_hint(self.task, split),
            )
        rows = {name: [v for part, _ in parts for v in part[name]] for name in names}
        origins = [origin for _, part in parts for origin in part]
        where = str(files[0] if len(files) == 1 else self.folder)
        return _checked(self.task, names, rows, where, origins, self.notes)

    def _files(self, split: str) -> list[Path]:
        if self.task.kind != "minimal-pairs":
            return split_files(self.folder, split, TABLE_SUFFIXES)
        # One file or one file a paradigm, whatever their names; copies in another format are none.
        files = visible_entries(self.folder)
        by_format = ([f for f in files if stem_of(f, [suffix])] for suffix in TABLE_SUFFIXES)
        return next((found for found in by_format if found), [])

    def _rows(self, file: Path, names: tuple[str, ...]) -> tuple[Columns, list[str]]:
        """The columns of a file, and where each of its rows is."""
        values: list[list[Any]] = []
        origins: list[str] = []
        for row in read_table(file, names, _columns_hint(self.task)):
            values.append(row.values)
            origins.append(f"{file}, {row.origin}")
            if row.long_field:
                self.notes.add_long_field(f"{file.name}, line {row.long_field:,}")
        columns = zip(*values, strict=True) if values else ((),) * len(names)
        return dict(zip(names, map(list, columns), strict=True)), origins


class _HubReader:
    """A task's configuration in a data set of the Hub."""

    def __init__(self, task: Task, name: str, notes: Notes) -> None:
        self.task, self.notes = task, notes
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
        origin += f", split {split}"
        for name in names:
            if name not in rows.column_names:
                raise missing_column(
                    f"task {self.task.name}: {origin}",
                    name,
                    rows.column_names,
                    _columns_hint(self.task),
                )
        columns = {name: list(rows[name]) for name in names}
        origins = [f"{origin}, row {number:,}" for number in range(1, len(rows) + 1)]
        return _checked(self.task, names, columns, origin, origins, self.notes)


def _reader(task: Task, source: TaskSource | None, notes: Notes) -> _LocalReader | _HubReader:
    if task.folder is not None:
        return _LocalReader(task, [Path(task.folder).expanduser()], notes)
    folders = settings().glue_folders if source is None else source.folders
    if folders:
        candidates = [Path(folder).expanduser() / task.name for folder in folders]
        return _LocalReader(task, candidates, notes)
    if task.kind == "minimal-pairs":
        return _HubReader(task, BLIMP_ON_HUB, notes)
    return _HubReader(task, source.hub if source and source.hub else GLUE_ON_HUB, notes)


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


def _columns_hint(task: Task) -> str:
    return f"the columns of {task.name} are {', '.join(_columns(task))}"


def _checked(
    task: Task,
    names: tuple[str, ...],
    rows: Columns,
    where: str,
    origins: list[str],
    notes: Notes,
) -> Columns:
    """These columns of `rows`, every value checked, as Unicode and as numbers.

    Args:
        where: all of the rows, for messages.
        origins: each of them.
        notes: what is replaced is counted there.
    """
    if not origins:
        raise InputError(f"task {task.name}: {where} has no rows", _layout(task))
    columns = dict(rows)
    for name in names:
        if name == "label":
            columns[name] = _labels(task, rows[name], origins)
            continue
        columns[name] = []
        for value, origin in zip(rows[name], origins, strict=True):
            if not isinstance(value, str):
                raise InputError(
                    f"task {task.name}: {origin} has {value!r} in the column '{name}', which holds "
                    "text",
                    "mend or remove the row",
                )
            text, replaced = replace_surrogates(value)
            if replaced:
                notes.add_replaced(replaced, origin)
            columns[name].append(text)
    return columns


def _labels(task: Task, values: list[Any], origins: list[str]) -> list[Any]:
    """The labels as numbers."""
    if task.kind == "diagnostic" and all(_integer(value) == -1 for value in values):
        return [-1] * len(values)
    labels: list[Any] = []
    for value, origin in zip(values, origins, strict=True):
        label = _label(task, value)
        if label is None:
            raise InputError(
                f"task {task.name}: {origin} has the label {value!r}; a label of {task.name} is "
                f"{_allowed(task)}",
                _label_hint(task, value),
            )
        labels.append(label)
    return labels


def _label_hint(task: Task, value: Any) -> str:
    if _number(value) == -1:
        return "-1 marks rows without a label, which cannot be scored or trained on"
    if task.label_names and _boolean(value) is not None:
        return "name the labels 'false' and 'true', or write labels: 2 to read them as 0 and 1"
    return "mend or remove the row"


def _label(task: Task, value: Any) -> int | float | None:
    """A label of the file as a number; None where it is none of the task's."""
    if task.label_names:
        return _named(task.label_names, value)
    if task.labels:
        truth = _boolean(value)
        label = _integer(value) if truth is None else int(truth)
        return label if label is not None and 0 <= label < task.labels else None
    number = _number(value)
    low, high = _range(task)
    return number if number is not None and low <= number <= high else None


def _named(names: tuple[str, ...], value: Any) -> int | None:
    """The number of the label that a value names."""
    truth = _boolean(value)
    if isinstance(value, str | bool) and str(value) in names:
        return names.index(str(value))
    if truth is not None:
        # The spelling of a boolean is that of the program that wrote the file.
        spelt = [name.casefold() for name in names]
        name = str(truth).casefold()
        return spelt.index(name) if spelt.count(name) == 1 else None
    # Names may be numbers, such as stars, which a .jsonl file need not quote.
    number = None if isinstance(value, str) else _integer(value)
    return names.index(str(number)) if str(number) in names else None


def _boolean(value: Any) -> bool | None:
    """A boolean, also from the text of a .csv file; None where it is none."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.casefold()) if isinstance(value, str) else None


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
    task: Task,
    splits: dict[str, Columns],
    tests: dict[str, Columns],
    max_train_rows: int | None,
    notes: Notes,
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
        notes,
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

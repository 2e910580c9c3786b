"""The table of tasks: GLUE's nine and its diagnostic set, BLiMP, and the two demo tasks.

A task of the user's own is a `Task` too; it stands in a spec, not in this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["glue", "diagnostic", "minimal-pairs", "demo", "user"]

# By what the labels are; where there is a choice, the first is the default.
CLASS_METRICS = ("accuracy", "f1", "f1_macro", "matthews_correlation")
NUMBER_METRICS = ("pearson", "spearmanr")


@dataclass(frozen=True)
class Task:
    """One evaluation task.

    `columns` are the text columns; `labels` the number of classes (0: a regression);
    `metrics` those whose mean is the task's score; `evaluation` the splits that are scored, `test`
    those that are only predicted.
    """

    name: str
    kind: Kind
    columns: tuple[str, ...]
    labels: int
    metrics: tuple[str, ...]
    evaluation: tuple[str, ...] = ("validation",)
    test: tuple[str, ...] = ("test",)
    # The zero-shot sets have no training split; AX is scored by the model fine-tuned on this task.
    trained_on: str | None = None
    # Of a user task: its folder, its training split, and the names of its classes in the files
    # (none: they are numbers).
    folder: str | None = None
    train: str = "train"
    label_names: tuple[str, ...] = ()


_ROWS = (
    Task("cola", "glue", ("sentence",), 2, ("matthews_correlation",)),
    Task("sst2", "glue", ("sentence",), 2, ("accuracy",)),
    Task("mrpc", "glue", ("sentence1", "sentence2"), 2, ("accuracy", "f1")),
    Task("stsb", "glue", ("sentence1", "sentence2"), 0, ("pearson", "spearmanr")),
    Task("qqp", "glue", ("question1", "question2"), 2, ("accuracy", "f1")),
    Task(
        "mnli",
        "glue",
        ("premise", "hypothesis"),
        3,
        ("accuracy",),
        evaluation=("validation_matched", "validation_mismatched"),
        test=("test_matched", "test_mismatched"),
    ),
    Task("qnli", "glue", ("question", "sentence"), 2, ("accuracy",)),
    Task("rte", "glue", ("sentence1", "sentence2"), 2, ("accuracy",)),
    Task("wnli", "glue", ("sentence1", "sentence2"), 2, ("accuracy",)),
    Task(
        "ax",
        "diagnostic",
        ("premise", "hypothesis"),
        3,
        ("matthews_correlation",),
        evaluation=("test",),
        trained_on="mnli",
    ),
    Task("blimp", "minimal-pairs", ("sentence_good", "sentence_bad"), 2, ("accuracy",), test=()),
    Task("demo-order", "demo", ("sentence",), 2, ("accuracy",), test=()),
    Task("demo-pair", "demo", ("sentence1", "sentence2"), 2, ("accuracy",), test=()),
)

TASKS: dict[str, Task] = {task.name: task for task in _ROWS}

GLUE9 = tuple(task.name for task in _ROWS if task.kind == "glue")
# The usual headline: without WNLI, whose development set contradicts its training set.
GLUE8 = tuple(name for name in GLUE9 if name != "wnli")

# The small tasks that gain from starting at the model fine-tuned on MNLI (arXiv:1811.01088).
FROM_MNLI = ("rte", "mrpc", "stsb")

"""A task of the user's own: its files, its columns, its labels and its metrics."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from entromask.glue.tasks import CLASS_METRICS, NUMBER_METRICS, TASKS, Task
from entromask.parts.base import Part

# A split is the beginning of a file's name, so it leads out of no folder.
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# A task's name is part of the names of its result files, on any file system.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
# What the means over tasks are called in results.json.
_MEANS = ("glue8", "glue9", "available", "demo", "user")
_LABELS = (
    "a number of classes (the labels are 0, 1, …), a list of at least two different names, or "
    "'number' for a regression (names such as 'yes' need quotes)"
)


class UserTask(Part):
    """A classification or regression of one text or two, from files in GLUE's layout.

    The column `label` holds the labels.
    """

    path: str = Field(
        min_length=1,
        description="DIR/<split>.jsonl|json|csv|tsv|parquet, also .gz or .zst, its shards, or a "
        "folder of `save_to_disk`; the labels are in the column `label`",
    )
    columns: list[str] = Field(
        min_length=1, max_length=2, description="the one or two columns with text"
    )
    labels: int | Literal["number"] | list[str] = Field(
        description="the number of classes (labels 0, 1, …; booleans are 0 and 1), the names of "
        "the classes as the files have them (booleans are 'false' and 'true'), or `number` for a "
        "regression"
    )
    metrics: list[str] = Field(
        default_factory=list,
        description="their mean is the score: `accuracy` (the default), `f1` (of the second of two "
        "classes), `f1_macro`, `matthews_correlation`; of a regression `pearson` and `spearmanr` "
        "(both are the default)",
    )
    train: str = Field("train", description="the split that is trained on")
    split: str = Field("validation", description="the split that is scored")
    test: str | None = Field(
        None,
        description="the split that `evaluation.predict_test` predicts; its labels are not read",
    )

    @field_validator("columns")
    @classmethod
    def _text_columns(cls, columns: list[str]) -> list[str]:
        if "label" in columns or len(set(columns)) < len(columns):
            raise PydanticCustomError(
                "columns",
                "columns must be different and hold text, not {columns}; `label` is the labels'",
                {"columns": ", ".join(columns)},
            )
        return columns

    @field_validator("labels", mode="before")
    @classmethod
    def _kind_of_labels(cls, labels: Any) -> Any:
        if isinstance(labels, list | tuple):
            # Such as the stars of a review; YAML reads an unquoted yes or no as true or false.
            if all(type(one) in (str, int) for one in labels):
                names = [str(one) for one in labels]
                if len(names) > 1 and len(set(names)) == len(names) and all(names):
                    return names
        elif labels == "number" or (type(labels) is int and labels >= 2):
            return labels
        raise PydanticCustomError(
            "labels",
            "labels are {allowed}{given}",
            {"allowed": _LABELS, "given": f", not {labels!r}" if isinstance(labels, list) else ""},
        )

    @field_validator("train", "split", "test")
    @classmethod
    def _file_name(cls, split: str | None) -> str | None:
        if split is not None and not _SPLIT.fullmatch(split):
            raise PydanticCustomError(
                "split",
                "a split is the beginning of a file's name: letters, digits, _, - and .",
            )
        return split

    @model_validator(mode="before")
    @classmethod
    def _default_metrics(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("metrics"):
            defaults = NUMBER_METRICS if data.get("labels") == "number" else CLASS_METRICS[:1]
            return {**data, "metrics": list(defaults)}
        return data

    @model_validator(mode="after")
    def _fits(self) -> UserTask:
        allowed = NUMBER_METRICS if self.labels == "number" else CLASS_METRICS
        for name in self.metrics:
            if name not in allowed:
                raise PydanticCustomError(
                    "unknown_metric",
                    "no metric '{name}' for {kind}; allowed: {allowed}",
                    {
                        "name": name,
                        "kind": "a regression" if self.labels == "number" else "classes",
                        "allowed": ", ".join(allowed),
                    },
                )
        if "f1" in self.metrics and self.classes != 2:
            raise PydanticCustomError(
                "f1",
                "the metric f1 is that of the second of two classes, and there are {classes}; use "
                "f1_macro",
                {"classes": self.classes},
            )
        if len(set(self.metrics)) < len(self.metrics):
            raise PydanticCustomError(
                "metrics",
                "each metric counts once in the score, not {metrics}",
                {"metrics": ", ".join(self.metrics)},
            )
        if len({self.train, self.split, self.test}) < 3 or self.split == "train":
            raise PydanticCustomError(
                "splits",
                "the splits that are trained on, scored and predicted must be different, and only "
                "the first may be called train; train: {train}, split: {split}, test: {test}",
                {"train": self.train, "split": self.split, "test": str(self.test)},
            )
        return self

    @property
    def classes(self) -> int:
        """The number of classes; 0: a regression."""
        if self.labels == "number":
            return 0
        return len(self.labels) if isinstance(self.labels, list) else int(self.labels)

    def task(self, name: str) -> Task:
        """The same as a row of the table of tasks."""
        return Task(
            name,
            "user",
            tuple(self.columns),
            self.classes,
            tuple(self.metrics),
            evaluation=(self.split,),
            test=() if self.test is None else (self.test,),
            folder=self.path,
            train=self.train,
            label_names=tuple(self.labels) if isinstance(self.labels, list) else (),
        )


def check_name(name: str) -> None:
    """A problem, unless a task of the user's may have this name."""
    if name in TASKS:
        raise PydanticCustomError(
            "task_name",
            "'{name}' is one of the product's own tasks; give your task another name",
            {"name": name},
        )
    if name in _MEANS or not _NAME.fullmatch(name):
        raise PydanticCustomError(
            "task_name",
            "a task cannot be called '{name}': a name has 1 to 40 small letters, digits, - and _, "
            "and is none of {means}",
            {"name": name[:60], "means": ", ".join(_MEANS)},
        )

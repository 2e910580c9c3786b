"""GlueMetric: GLUE's metrics as an `evaluate.Metric` that needs no network."""

from __future__ import annotations

from typing import Any

import datasets
import evaluate

from entromask.errors import InputError
from entromask.glue.metrics import score_predictions
from entromask.glue.tasks import TASKS, Task

_DESCRIPTION = "The metrics of one GLUE task; undefined cases, such as one class only, give 0.0."
_INPUTS = """
Args:
    predictions: a class (of stsb: a number) a row.
    references: the labels, alike.
Returns:
    The task's metrics by name, such as {"accuracy": 0.5, "f1": 0.6} of mrpc.
"""


class GlueMetric(evaluate.Metric):  # type: ignore[misc]
    """`GlueMetric("mrpc")` works like `evaluate.load("glue", "mrpc")`, without the Hub.

    Also for the demo tasks and AX. `add`, `add_batch`, `compute`, `evaluate.combine` and
    `evaluate.save` are those of `evaluate`. For MNLI, score its two splits one after the other.

    Raises:
        InputError: no such task, or one without predictions (blimp).
    """

    def __init__(self, task: str, **options: Any) -> None:
        names = [name for name, row in TASKS.items() if row.kind != "minimal-pairs"]
        if task not in names:
            raise InputError(f"no GLUE metric for '{task}'", f"allowed: {', '.join(names)}")
        self.task: Task = TASKS[task]
        super().__init__(config_name=task, **options)

    def _info(self) -> evaluate.MetricInfo:
        kind = "float64" if self.task.labels == 0 else "int64"
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation="",
            inputs_description=_INPUTS,
            features=datasets.Features(
                {"predictions": datasets.Value(kind), "references": datasets.Value(kind)}
            ),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        return score_predictions(self.task, predictions, references)

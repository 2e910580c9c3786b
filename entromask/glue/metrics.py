"""The tasks' metrics on scikit-learn and scipy, defined for every input, and a task's score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from entromask.glue.tasks import TASKS, Task

if TYPE_CHECKING:
    import numpy as np

    from entromask.glue.evaluate_metric import GlueMetric as GlueMetric

    Array = np.ndarray[Any, Any]


def _accuracy(predictions: Array, references: Array) -> float:
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(references, predictions))


def _f1(predictions: Array, references: Array) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, pos_label=1, zero_division=0.0))


def _f1_macro(predictions: Array, references: Array) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, average="macro", zero_division=0.0))


def _matthews(predictions: Array, references: Array) -> float:
    from sklearn.metrics import matthews_corrcoef

    if _constant(predictions) or _constant(references):
        return 0.0
    return float(matthews_corrcoef(references, predictions))


def _pearson(predictions: Array, references: Array) -> float:
    from scipy.stats import pearsonr

    return _correlation(pearsonr, predictions, references)


def _spearman(predictions: Array, references: Array) -> float:
    from scipy.stats import spearmanr

    return _correlation(spearmanr, predictions, references)


_METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "matthews_correlation": _matthews,
    "pearson": _pearson,
    "spearmanr": _spearman,
}


def score_predictions(
    task: str | Task, predictions: Sequence[float], references: Sequence[float]
) -> dict[str, float]:
    """The task's metrics on one split, each between 0 and 1 (correlations from -1 to 1).

    Where a metric is not defined (one class only, constant or non-finite predictions), it is 0.0:
    such predictions say nothing about the references.

    Args:
        task: a key of `TASKS`, or the task.
        predictions, references: one class (STS-B: one number) a row.

    Raises:
        ValueError: the two differ in length, or are empty.
    """
    import numpy as np

    task = TASKS[task] if isinstance(task, str) else task
    if len(predictions) != len(references) or len(references) == 0:
        raise ValueError(f"{len(predictions)} predictions for {len(references)} references")
    kind = np.float64 if task.labels == 0 else np.int64
    predicted, actual = np.asarray(predictions, kind), np.asarray(references, kind)
    return {name: _METRICS[name](predicted, actual) for name in task.metrics}


def task_score(metrics: Mapping[str, float]) -> float:
    """A task's score: the mean of its metrics (of MNLI: of its two accuracies)."""
    return sum(metrics.values()) / len(metrics)


def split_metric(task: Task, split: str, metric: str) -> str:
    """The name of a metric of one of the task's splits: MNLI has accuracy_matched and so on."""
    return metric if len(task.evaluation) == 1 else f"{metric}_{split.rpartition('_')[2]}"


def _constant(values: Array) -> bool:
    return bool((values == values[0]).all())


def _correlation(function: Callable[..., Any], predictions: Array, references: Array) -> float:
    import numpy as np

    if not np.isfinite(predictions).all() or _constant(predictions) or _constant(references):
        return 0.0
    with warnings.catch_warnings():
        # scipy warns of nearly constant input; its result is what stands in the table then.
        warnings.simplefilter("ignore")
        value = float(function(predictions, references).statistic)
    return value if np.isfinite(value) else 0.0


def __getattr__(name: str) -> Any:
    # `evaluate` takes seconds to import: only who asks for the class pays for it.
    if name == "GlueMetric":
        from entromask.glue.evaluate_metric import GlueMetric

        return GlueMetric
    raise AttributeError(f"module {__name__} has no attribute {name}")

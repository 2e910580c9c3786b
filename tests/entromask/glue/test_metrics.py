from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from entromask.errors import InputError
from entromask.glue.metrics import score_predictions, split_metric, task_score
from entromask.glue.tasks import CLASS_METRICS, NUMBER_METRICS, TASKS, Task

pytestmark = [
    # evaluate imports pkg_resources-style helpers and datasets' dill shims that warn.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:(evaluate|datasets|dill|multiprocess)"),
]


def test_each_task_has_its_metrics() -> None:
    one, other = [0, 1, 1, 0], [0, 1, 0, 0]
    assert score_predictions("cola", one, other) == {
        "matthews_correlation": pytest.approx(1 / 3**0.5)
    }
    assert score_predictions("mrpc", one, other) == {
        "accuracy": 0.75,
        "f1": pytest.approx(2 / 3),
    }
    assert score_predictions("sst2", one, other) == {"accuracy": 0.75}
    stsb = score_predictions("stsb", [1, 2, 3, 10], [0, 1, 2, 3])
    assert stsb["spearmanr"] == pytest.approx(1)
    expected = np.corrcoef([1, 2, 3, 10], [0, 1, 2, 3])[0, 1]
    assert stsb["pearson"] == pytest.approx(expected)
    assert task_score({"accuracy": 0.5, "f1": 0.7}) == pytest.approx(0.6)


def test_three_classes_have_a_matthews_correlation() -> None:
    assert score_predictions("ax", [0, 1, 2], [0, 1, 2])["matthews_correlation"] == 1.0


@pytest.mark.parametrize(
    ("task", "predictions", "references", "expected"),
    [
        ("cola", [1, 1, 1], [0, 1, 1], {"matthews_correlation": 0.0}),
        ("cola", [0, 1, 1], [1, 1, 1], {"matthews_correlation": 0.0}),
        ("cola", [1, 1], [1, 1], {"matthews_correlation": 0.0}),
        ("mrpc", [0, 0], [0, 0], {"accuracy": 1.0, "f1": 0.0}),
        ("mrpc", [0, 0], [1, 1], {"accuracy": 0.0, "f1": 0.0}),
        ("stsb", [2.5, 2.5], [0.0, 5.0], {"pearson": 0.0, "spearmanr": 0.0}),
        ("stsb", [1.0, 2.0], [3.0, 3.0], {"pearson": 0.0, "spearmanr": 0.0}),
        ("stsb", [float("nan"), 1.0], [0.0, 5.0], {"pearson": 0.0, "spearmanr": 0.0}),
        ("stsb", [1.0], [2.0], {"pearson": 0.0, "spearmanr": 0.0}),
    ],
)
def test_degenerate_input_has_a_defined_score_and_no_warning(
    task: str, predictions: list[float], references: list[float], expected: dict[str, float]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert score_predictions(task, predictions, references) == expected


def test_nearly_constant_predictions_do_not_warn() -> None:
    found = score_predictions("stsb", [1.0, 1.0, 1.0 + 1e-15], [1.0, 2.0, 3.0])
    assert all(np.isfinite(value) for value in found.values())


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="2 predictions for 1 references"):
        score_predictions("rte", [0, 1], [0])


def test_mnli_has_one_accuracy_a_split() -> None:
    names = [split_metric(TASKS["mnli"], s, "accuracy") for s in TASKS["mnli"].evaluation]
    assert names == ["accuracy_matched", "accuracy_mismatched"]
    assert split_metric(TASKS["rte"], "validation", "accuracy") == "accuracy"


def test_glue_metric_works_as_an_evaluate_metric_offline(tmp_path: Path) -> None:
    import evaluate

    from entromask.glue.metrics import GlueMetric

    metric = GlueMetric("mrpc", cache_dir=str(tmp_path))
    assert isinstance(metric, evaluate.Metric)
    metric.add_batch(predictions=[0, 1], references=[0, 1])
    metric.add_batch(predictions=np.array([1, 0]), references=np.array([0, 0]))
    result = metric.compute()
    assert result == score_predictions("mrpc", [0, 1, 1, 0], [0, 1, 0, 0])
    combined = evaluate.combine(
        [GlueMetric(name, cache_dir=str(tmp_path)) for name in ("mrpc", "cola")]
    )
    both = combined.compute(predictions=[0, 1, 1], references=[0, 1, 0])
    assert set(both) == {"accuracy", "f1", "matthews_correlation"}
    evaluate.save(tmp_path / "result.json", **result)
    assert json.loads((tmp_path / "result.json").read_text())["accuracy"] == 0.75


def test_glue_metric_takes_numbers_for_a_regression(tmp_path: Path) -> None:
    from entromask.glue.metrics import GlueMetric

    metric = GlueMetric("stsb", cache_dir=str(tmp_path))
    assert metric.compute(predictions=[0.5, 1.5], references=[0.0, 5.0])["pearson"] == 1.0


@pytest.mark.parametrize("task", ["blimp", "nothing"])
def test_glue_metric_names_the_tasks_it_knows(task: str) -> None:
    from entromask.glue.metrics import GlueMetric

    with pytest.raises(InputError) as caught:
        GlueMetric(task)
    assert "mrpc" in str(caught.value.hint)


def own_task(classes: int) -> Task:
    known: tuple[str, ...] = NUMBER_METRICS if classes == 0 else CLASS_METRICS
    metrics = tuple(name for name in known if name != "f1" or classes == 2)
    return Task("own", "user", ("text",), classes, metrics)


def of_peers(task: Task, predictions: list[float], references: list[float]) -> dict[str, float]:
    """The same from scikit-learn and scipy themselves; what they do not define is 0."""
    import scipy.stats
    import sklearn.metrics as sk

    found = {
        "accuracy": lambda: sk.accuracy_score(references, predictions),
        "f1": lambda: sk.f1_score(references, predictions, zero_division=0),
        "f1_macro": lambda: sk.f1_score(references, predictions, average="macro", zero_division=0),
        "matthews_correlation": lambda: sk.matthews_corrcoef(references, predictions),
        "pearson": lambda: scipy.stats.pearsonr(predictions, references).statistic,
        "spearmanr": lambda: scipy.stats.spearmanr(predictions, references).statistic,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = {name: float(found[name]()) for name in task.metrics}
    return {name: value if np.isfinite(value) else 0.0 for name, value in values.items()}


def drawn(generator: np.random.Generator, classes: int) -> tuple[list[float], list[float]]:
    """Rows of which some cases are degenerate: few, of one class, constant, tied."""
    rows = int(generator.choice([2, 3, 5, 30, 300]))
    pair: list[list[float]] = []
    for _ in range(2):
        if classes == 0:
            values = generator.normal(size=rows) * 10.0 ** generator.integers(-6, 6)
            if generator.random() < 0.3:
                values = np.round(values / (np.abs(values).max() or 1) * 2)
        else:
            values = generator.integers(0, classes, rows).astype(float)
        if generator.random() < 0.25:
            values = np.full(rows, values[0])
        pair.append(values.tolist())
    if generator.random() < 0.2:
        pair[1] = pair[0]
    return pair[0], pair[1]


@pytest.mark.parametrize("classes", [0, 2, 3, 7])
def test_metrics_are_those_of_scikit_learn_and_scipy_also_on_degenerate_rows(classes: int) -> None:
    generator = np.random.default_rng(classes)
    task, degenerate = own_task(classes), 0
    for _ in range(400):
        predictions, references = drawn(generator, classes)
        degenerate += len(set(predictions)) == 1 or len(set(references)) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = score_predictions(task, predictions, references)
        assert found == pytest.approx(of_peers(task, predictions, references), abs=1e-12)
        assert all(-1 <= value <= 1 for value in found.values())
    assert degenerate > 100


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_one_class_everywhere_has_defined_scores(classes: int) -> None:
    task = own_task(classes)
    for label in range(classes):
        right = score_predictions(task, [label] * 4, [label] * 4)
        assert (right["accuracy"], right["matthews_correlation"]) == (1.0, 0.0)
        assert right["f1_macro"] == 1.0
        wrong = score_predictions(task, [label] * 2, [(label + 1) % classes] * 2)
        assert set(wrong.values()) == {0.0}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e308])
def test_numbers_that_no_model_should_give_have_a_defined_score(value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = score_predictions("stsb", [value, 1.0, -value], [1.0, 2.0, 3.0])
    assert all(np.isfinite(score) for score in found.values())
    if not np.isfinite(value):
        assert set(found.values()) == {0.0}


def test_the_metrics_of_every_task_of_glue_are_checked_here() -> None:
    used = {name for task in TASKS.values() for name in task.metrics}
    assert used <= {*CLASS_METRICS, *NUMBER_METRICS}

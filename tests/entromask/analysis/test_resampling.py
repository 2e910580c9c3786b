from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from entromask.analysis import resampling
from entromask.analysis.examples import Split, TaskExamples
from entromask.analysis.resampling import resample_counts, resampled_scores
from entromask.glue.metrics import score_predictions
from entromask.glue.tasks import TASKS, Task

Array = NDArray[Any]

RESAMPLES = 40


def task(metric: str, classes: int) -> Task:
    kind = TASKS["stsb"] if classes == 0 else TASKS["sst2"]
    return Task("own", kind.kind, ("sentence",), classes, (metric,))


def drawn(stream: str, rows: int) -> list[Array]:
    """The rows of each resample."""
    counts = np.concatenate(list(resample_counts(stream, rows, RESAMPLES)))
    return [np.repeat(np.arange(rows), each.astype(int)) for each in counts]


def by_hand(examples: TaskExamples) -> Array:
    """The scores of really drawing the rows, by scikit-learn and scipy."""
    scores = []
    for name, split in examples.splits.items():
        assert split.references is not None
        resamples = drawn(f"{examples.task.name}/{name}", len(split.references))
        scores.append(
            [
                [
                    np.mean(
                        [*score_predictions(examples.task, answers[rows], labels[rows]).values()]
                    )
                    for answers in split.answers
                ]
                for labels, rows in ((split.references, rows) for rows in resamples)
            ]
        )
    return np.asarray(np.mean(scores, axis=(0, 2)))


def test_counts_are_multinomial_and_the_same_each_time() -> None:
    counts = np.concatenate(list(resample_counts("rte/validation", 50, 4000)))
    assert counts.shape == (4000, 50)
    assert (counts.sum(1) == 50).all()
    assert counts.mean() == 1
    assert counts.var() == pytest.approx(1 - 1 / 50, rel=0.01)
    # Neighbours share nothing but their sum.
    assert np.corrcoef(counts[:, 0], counts[:, 1])[0, 1] == pytest.approx(-1 / 49, abs=0.04)
    np.testing.assert_array_equal(next(resample_counts("rte/validation", 50, 10)), counts[:10])
    assert not np.array_equal(next(resample_counts("qnli/validation", 50, 10)), counts[:10])


def test_the_first_resamples_of_a_stream_never_change() -> None:
    [counts] = resample_counts("rte/validation", 8, 2)
    assert counts.tolist() == [[0, 0, 1, 5, 1, 0, 1, 0], [2, 0, 1, 0, 0, 1, 1, 3]]


def test_chunks_do_not_change_the_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0)
    split = Split(noise.normal(size=(2, 37)), noise.normal(size=37))
    examples = TaskExamples(TASKS["stsb"], {"validation": split})
    expected = resampled_scores(examples, 11)
    monkeypatch.setattr(resampling, "_CHUNK_CELLS", 100)
    np.testing.assert_allclose(resampled_scores(examples, 11), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("rows", [1, 2, 5, 60])
@pytest.mark.parametrize(
    ("metric", "classes"),
    [
        ("accuracy", 2),
        ("accuracy", 4),
        ("f1", 2),
        ("f1_macro", 2),
        ("f1_macro", 4),
        ("matthews_correlation", 2),
        ("matthews_correlation", 4),
    ],
)
def test_class_metrics_are_those_of_drawing_the_rows(metric: str, classes: int, rows: int) -> None:
    noise = np.random.default_rng(rows)
    labels = noise.integers(0, classes, rows)
    answers = np.where(noise.random((3, rows)) < 0.7, labels, noise.integers(0, classes, rows))
    # One fine-tuning seed has collapsed to one class.
    answers[1] = 1
    examples = TaskExamples(task(metric, classes), {"validation": Split(answers, labels)})
    found = resampled_scores(examples, RESAMPLES)
    np.testing.assert_allclose(found, by_hand(examples), rtol=0, atol=1e-12)
    assert rows < 5 or found.std() > 0


@pytest.mark.parametrize("rows", [1, 2, 4, 80])
@pytest.mark.parametrize("metric", ["pearson", "spearmanr"])
@pytest.mark.parametrize("ties", [True, False])
def test_correlations_are_those_of_drawing_and_ranking_the_rows(
    metric: str, rows: int, ties: bool
) -> None:
    noise = np.random.default_rng(rows)
    labels = noise.integers(0, 4, rows) + 1000.0
    answers = labels + noise.normal(size=(3, rows))
    if ties:
        answers = np.round(answers)
    answers[2] = 2.5
    examples = TaskExamples(task(metric, 0), {"validation": Split(answers, labels)})
    found = resampled_scores(examples, RESAMPLES)
    np.testing.assert_allclose(found, by_hand(examples), rtol=0, atol=1e-12)
    assert rows < 4 or found.std() > 0


def test_a_resample_that_is_one_row_again_and_again_correlates_with_nothing() -> None:
    noise = np.random.default_rng(5)
    for rows in (3, 7, 11):
        split = Split(noise.normal(size=(20, rows)), noise.normal(size=rows))
        found = resampling._scorer(TASKS["stsb"], split)(rows * np.eye(rows))
        assert found.tolist() == [0.0] * rows


def test_a_run_with_an_answer_that_is_no_number_scores_nothing() -> None:
    answers = np.array([[1.0, np.nan, 3.0]])
    split = Split(answers, np.array([1.0, 2.0, 3.0]))
    found = resampled_scores(TaskExamples(TASKS["stsb"], {"validation": split}), RESAMPLES)
    assert found.tolist() == [0.0] * RESAMPLES


@pytest.mark.parametrize("name", ["cola", "mrpc", "stsb", "mnli", "ax"])
def test_rows_that_each_count_once_give_the_score_itself(name: str) -> None:
    noise = np.random.default_rng(1)
    row = TASKS[name]
    labels = noise.integers(0, max(2, row.labels), 90)
    answers = np.where(noise.random((2, 90)) < 0.6, labels, 1 - np.minimum(labels, 1))
    if row.labels == 0:
        answers = answers + noise.normal(size=answers.shape)
    expected = np.mean([[*score_predictions(row, one, labels).values()] for one in answers])
    found = resampling._scorer(row, Split(answers, labels))(np.ones((2, 90)))
    assert found == pytest.approx([expected] * 2, abs=1e-12)


def test_the_splits_of_mnli_are_resampled_apart() -> None:
    noise = np.random.default_rng(2)
    splits = {
        name: Split((labels + (noise.random((2, 70)) < 0.4)) % 3, labels)
        for name in TASKS["mnli"].evaluation
        for labels in [noise.integers(0, 3, 70)]
    }
    examples = TaskExamples(TASKS["mnli"], splits)
    found = resampled_scores(examples, RESAMPLES)
    np.testing.assert_allclose(found, by_hand(examples), rtol=0, atol=1e-12)
    rows = [drawn(f"mnli/{name}", 70) for name in splits]
    assert not np.array_equal(rows[0][0], rows[1][0])


def test_blimp_is_resampled_within_its_paradigms() -> None:
    noise = np.random.default_rng(3)
    won = {f"p{i}": noise.choice([0.0, 0.5, 1.0], size=(1, 20 + i)) for i in range(5)}
    examples = TaskExamples(TASKS["blimp"], {name: Split(w, None) for name, w in won.items()})
    expected = np.mean(
        [
            [w[0, rows].mean() for rows in drawn(f"blimp/{name}", w.shape[1])]
            for name, w in won.items()
        ],
        axis=0,
    )
    np.testing.assert_allclose(resampled_scores(examples, RESAMPLES), expected, atol=1e-12)


def test_forty_thousand_rows_take_little_memory() -> None:
    noise = np.random.default_rng(4)
    answers, labels = noise.normal(size=(1, 40_000)), noise.integers(0, 6, 40_000)
    examples = TaskExamples(TASKS["stsb"], {"validation": Split(answers, labels)})
    tracemalloc.start()
    resampled_scores(examples, 60)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 200e6

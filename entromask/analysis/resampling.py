"""A task's score on bootstrap resamples of its test examples, from weighted closed forms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entromask.analysis.examples import Split, TaskExamples, read_examples
from entromask.glue.cells import cell_file
from entromask.glue.tasks import TASKS, Task

Array = NDArray[Any]
Scores = NDArray[np.float64]

RESAMPLES = 1000
# Of a chunk of counts; the ranks of a chunk take about ten times the memory of its counts.
_CHUNK_CELLS = 1_000_000


def resample_run(
    folder: Path,
    task: str | Task,
    fine_tuning_seeds: Sequence[int],
    resamples: int = RESAMPLES,
) -> Scores | None:
    """`resampled_scores` of a run folder, kept in memory while its files do not change.

    None where `read_examples` finds none.
    """
    task = TASKS[task] if isinstance(task, str) else task
    seeds = () if task.kind == "minimal-pairs" else tuple(fine_tuning_seeds)
    files = [cell_file(folder / "evaluation", task.name, seed) for seed in seeds or (None,)]
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return None
    state = tuple((found.st_mtime_ns, found.st_size) for found in stats)
    return _resample_run(folder, task, seeds, resamples, state)


@lru_cache(maxsize=4096)
def _resample_run(
    folder: Path, task: Task, seeds: tuple[int, ...], resamples: int, _state: Any
) -> Scores | None:
    examples = read_examples(folder, task, seeds)
    if examples is None:
        return None
    scores = resampled_scores(examples, resamples)
    scores.flags.writeable = False
    return scores


def resampled_scores(examples: TaskExamples, resamples: int = RESAMPLES) -> Scores:
    """The task's score on resamples of its examples, the mean over the fine-tuning seeds [B].

    Rows are drawn with replacement, within each split (of BLiMP: within each paradigm); the score
    is the mean over the splits and their metrics. The resamples depend only on the names of task
    and split and on the number of rows: every run meets the same ones. Where a metric is not
    defined on a resample, it is 0, as in `entromask.glue.metrics`.
    """
    total = np.zeros(resamples)
    for name, split in examples.splits.items():
        score = _scorer(examples.task, split)
        rows = split.answers.shape[1]
        parts = [
            score(counts)
            for counts in resample_counts(f"{examples.task.name}/{name}", rows, resamples)
        ]
        total += np.concatenate(parts)
    return total / len(examples.splits)


def resample_counts(stream: str, rows: int, resamples: int) -> Iterator[Scores]:
    """How often each of N rows is drawn in each of B resamples, in chunks [b, N].

    Multinomial, from a counter-based generator that is keyed by `stream` and N. Its raw bits are
    the same in every version of numpy; the first resamples are the same whatever B is.
    """
    name = hashlib.blake2b(f"{stream}:{rows}".encode(), digest_size=16).digest()
    bits = np.random.Philox(key=int.from_bytes(name, "little"))
    size = max(1, _CHUNK_CELLS // rows)
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        # The high half of 64 bits, scaled to 0..N-1.
        high = bits.random_raw(count * rows) >> np.uint64(32)
        drawn = (high * np.uint64(rows) >> np.uint64(32)).astype(np.int64)
        cells = drawn + rows * np.repeat(np.arange(count), rows)
        counts = np.bincount(cells, minlength=count * rows)
        yield counts.reshape(count, rows).astype(np.float64)


def _scorer(task: Task, split: Split) -> Callable[[Scores], Scores]:
    """From counts [b, N] to a split's score [b]: the mean over its metrics and seeds."""
    if split.references is None:
        won = split.answers.mean(0)
        return lambda counts: counts @ won / len(won)
    if task.labels == 0:
        return _number_scorer(task.metrics, split.answers, split.references)
    return _class_scorer(task.metrics, split.answers, split.references)


@dataclass(frozen=True)
class _Sums:
    """Of b resamples of N rows, by fine-tuning seed: rows by answer and label.

    `right` [b, seeds]; `hits` (right, of each class) and `predicted` [b, seeds, classes]; `actual`
    [b, classes].
    """

    rows: int
    right: Scores
    hits: Scores
    predicted: Scores
    actual: Scores


def _class_scorer(
    metrics: Sequence[str], answers: Array, references: Array
) -> Callable[[Scores], Scores]:
    seeds, rows = answers.shape
    classes = np.arange(max(2, int(answers.max()) + 1, int(references.max()) + 1))
    right = answers == references
    predicted = answers[:, None, :] == classes[:, None]
    columns = np.concatenate(
        [
            right,
            (right[:, None, :] & (references == classes[:, None])).reshape(-1, rows),
            predicted.reshape(-1, rows),
            references == classes[:, None],
        ]
    ).T.astype(np.float64)
    ends = np.cumsum([seeds, seeds * len(classes), seeds * len(classes)])

    def score(counts: Scores) -> Scores:
        right, hits, predicted, actual = np.split(counts @ columns, ends, axis=1)
        hits, predicted = (part.reshape(-1, seeds, len(classes)) for part in (hits, predicted))
        sums = _Sums(rows, right, hits, predicted, actual)
        return _mean([_OF_CLASSES[name](sums).mean(1) for name in metrics])

    return score


def _accuracy(sums: _Sums) -> Scores:
    return sums.right / sums.rows


def _f1(sums: _Sums) -> Scores:
    return _ratio(2 * sums.hits[:, :, 1], sums.predicted[:, :, 1] + sums.actual[:, None, 1])


def _f1_macro(sums: _Sums) -> Scores:
    """The mean over the classes that occur in the resample, as answers or as labels."""
    met = sums.predicted + sums.actual[:, None, :]
    return np.asarray(_ratio(2 * sums.hits, met).sum(-1) / np.maximum(1, (met > 0).sum(-1)))


def _matthews(sums: _Sums) -> Scores:
    """Gorodkin's R_K (2004), which is Matthews' correlation for two classes."""
    n, actual = sums.rows, sums.actual[:, None, :]
    together = n * sums.right - (sums.predicted * actual).sum(-1)
    predicted = n**2 - (sums.predicted**2).sum(-1)
    return _ratio(together, np.sqrt(predicted * (n**2 - (actual**2).sum(-1))))


def _number_scorer(
    metrics: Sequence[str], answers: Array, references: Array
) -> Callable[[Scores], Scores]:
    if not np.isfinite(answers).all():
        # A run with such an answer scores 0, not its other rows.
        return lambda counts: np.zeros(len(counts))

    def score(counts: Scores) -> Scores:
        found = []
        for centre in (_OF_NUMBERS[name] for name in metrics):
            labels = centre(counts, references)
            found += [_correlation(counts, centre(counts, answer), labels) for answer in answers]
        return _mean(found)

    return score


def _values(counts: Scores, values: Array) -> Scores:
    """The values less their mean in each resample [b, N]; exactly 0 where they are all equal."""
    values = values - values.mean()
    values = values / (np.abs(values).max() or 1.0)
    drawn = counts > 0
    highest = np.where(drawn, values, -np.inf).max(1)
    varies = highest > np.where(drawn, values, np.inf).min(1)
    centred = values - (counts @ values / len(values))[:, None]
    return np.asarray(centred * varies[:, None])


def _ranks(counts: Scores, values: Array) -> Scores:
    """The mid-ranks of the values within each resample, less their mean [b, N]."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    tied = np.add.reduceat(counts[:, order], starts, axis=1)
    middle = np.cumsum(tied, axis=1) - (tied - 1) / 2
    group = np.empty(len(values), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), np.diff([*starts, len(values)]))
    return np.asarray(middle[:, group] - (len(values) + 1) / 2)


def _correlation(counts: Scores, one: Scores, other: Scores) -> Scores:
    """Pearson's correlation of centred values [b, N], each row as often as it is counted."""
    weighted = counts * one
    together: Scores = np.einsum("bn,bn->b", weighted, other)
    square = np.einsum("bn,bn->b", weighted, one)
    norm = np.sqrt(square) * np.sqrt(np.einsum("bn,bn,bn->b", counts, other, other))
    return np.asarray(np.clip(_ratio(together, norm), -1.0, 1.0))


def _mean(scores: Sequence[Scores]) -> Scores:
    return np.asarray(np.mean(scores, axis=0))


def _ratio(above: Scores, below: Scores) -> Scores:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


_OF_CLASSES: dict[str, Callable[[_Sums], Scores]] = {
    "accuracy": _accuracy,
    "f1": _f1,
    "f1_macro": _f1_macro,
    "matthews_correlation": _matthews,
}
_OF_NUMBERS: dict[str, Callable[[Scores, Array], Scores]] = {
    "pearson": _values,
    "spearmanr": _ranks,
}

"""Which predictions of which runs go into a submission to gluebenchmark.com."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.errors import InputError
from entromask.glue.cells import cell_file, kept_cell
from entromask.glue.submission import FILES, SubmissionFile

if TYPE_CHECKING:
    from entromask.analysis.runs import Run

_PREDICT = "evaluate with evaluation.predict_test: true"


@dataclass(frozen=True)
class Chosen:
    """The fine-tuning whose predictions of a task are submitted; `score` is on the validation set.

    `of` is the number of fine-tunings that it was chosen from.
    """

    task: str
    run: Run
    seed: int
    score: float
    of: int


def choose(runs: Sequence[Run], seed: int | None = None) -> list[Chosen]:
    """For each of GLUE's nine tasks that has test predictions, the fine-tuning to submit.

    AX has none of its own: its predictions are those of the fine-tuning chosen for MNLI.

    Args:
        seed: only this fine-tuning seed; None: the one with the best validation score.
    """
    chosen = []
    for task in dict.fromkeys(file.task for file in FILES):
        candidates = [one for run in runs for one in _candidates(run, task, seed)]
        if candidates:
            # Of equals the first.
            run, found, score = max(candidates, key=lambda one: one[2])
            chosen.append(Chosen(task, run, found, score, len(candidates)))
    return chosen


def _candidates(run: Run, task: str, seed: int | None) -> Iterator[tuple[Run, int, float]]:
    if not run.spec.evaluation.predict_test or task == "ax":
        return
    entry = (run.results.get("tasks") or {}).get(task) or {}
    for name, score in (entry.get("per_seed") or {}).items():
        if seed is None or int(name) == seed:
            yield run, int(name), score


def answers_of(chosen: Sequence[Chosen]) -> dict[str, list[float]]:
    """By file of the submission, one class (of STS-B: one number) a row.

    Raises:
        InputError: a result's file is missing or damaged, or holds another number of rows than the
            official test set.
    """
    by_task = {one.task: one for one in chosen}
    found: dict[str, list[float]] = {}
    for file in FILES:
        one = by_task.get("mnli" if file.task == "ax" else file.task)
        if one is None or (file.task == "ax" and "ax" not in one.run.spec.evaluation.tasks):
            continue
        found[file.name] = _answers(file, one)
    return found


def _answers(file: SubmissionFile, chosen: Chosen) -> list[float]:
    logits: list[Any] = _predictions(file, chosen)
    if len(logits) != file.rows:
        raise InputError(
            f"{file.task}: the run predicted {len(logits):,} rows of the split {file.split}, and "
            f"the official test set has {file.rows:,}",
            f"put the official test set in evaluation.source, and {_PREDICT}",
        )
    if not file.labels:
        return [float(number) for number in logits]
    return [row.index(max(row)) for row in logits]


def _predictions(file: SubmissionFile, chosen: Chosen) -> list[Any]:
    folder = chosen.run.folder
    assert folder is not None, "runs are read from folders"
    place: Path = cell_file(folder / "evaluation", file.task, chosen.seed)
    result = kept_cell(place)
    if result is None or file.split not in result.get("test_predictions", {}):
        raise InputError(
            f"{place} is missing or damaged, or holds no predictions of {file.split}",
            f"do the run again: entromask run {folder / 'spec.yaml'} --output ANOTHER_FOLDER",
        )
    predictions: list[Any] = result["test_predictions"][file.split]
    return predictions

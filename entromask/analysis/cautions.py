"""What a reader has to know before believing a comparison: set-ups that differ, noise, floors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from entromask.analysis.runs import Run
from entromask.analysis.scores import scored_glue
from entromask.analysis.table import Column, Row, entry
from entromask.analysis.wording import joined
from entromask.glue.tasks import GLUE8

# Fewer pretraining seeds than this say little about a method (METHOD: 3 x 3 at least).
ENOUGH_SEEDS = 3
# Relative difference in FLOPs above which runs are not at matched compute.
MATCHED = 0.05

# What has to agree, by name: for scores, and for losses on the common validation mask.
_SCORES: tuple[tuple[str, Callable[[Run], Any]], ...] = (
    ("task source", lambda run: _source(run)),
    ("fine-tuning protocol", lambda run: run.spec.evaluation.protocol),
    ("fine-tuning seeds", lambda run: sorted(run.spec.evaluation.seeds)),
    ("BLiMP pairs", lambda run: run.spec.evaluation.blimp_pairs),
    ("training rows", lambda run: run.spec.evaluation.max_train_rows),
    ("intermediate training", lambda run: run.spec.evaluation.intermediate),
    ("user tasks", lambda run: run.spec.evaluation.user_tasks),
)
_LOSSES: tuple[tuple[str, Callable[[Run], Any]], ...] = (
    ("corpus", lambda run: run.corpus_identity),
    ("tokenizer", lambda run: run.tokenizer_identity),
    ("sequence length", lambda run: run.spec.pretraining.sequence_length),
)


def _source(run: Run) -> Any:
    source = run.spec.evaluation.source
    return source.model_dump() if source else None


def scores_differ(columns: Sequence[Column]) -> list[str]:
    """The parts of the evaluation set-up that differ between runs; none: scores compare."""
    recorded = {_records_training(run) for column in columns for run in column.runs} - {None}
    versions = ["version of the fine-tuning protocol"] if len(recorded) > 1 else []
    return [*_differ(columns, _SCORES), *versions]


def _records_training(run: Run) -> bool | None:
    """Return whether a run's scores say how it was fine-tuned; None if nothing was.

    Those that do not are older than the protocols of today: learning rate and steps differ, and
    the labels of a regression were not standardised.
    """
    tuned = [task for name, task in (run.results.get("tasks") or {}).items() if name != "blimp"]
    return any("training" in task for task in tuned) if tuned else None


def losses_differ(columns: Sequence[Column]) -> list[str]:
    """What differs so that validation losses do not compare; none: they do."""
    return _differ(columns, _LOSSES)


def _differ(
    columns: Sequence[Column], parts: Sequence[tuple[str, Callable[[Run], Any]]]
) -> list[str]:
    runs = [run for column in columns for run in column.runs]
    return [name for name, read in parts if any(read(run) != read(runs[0]) for run in runs)]


def cautions(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """The notes under a table, the gravest first; one sentence each."""
    return [
        *differing(columns),
        *identical(columns),
        *odd_sizes(columns, rows),
        *_ranking(columns, rows),
        *_seeds(columns),
        *_compute(columns),
        *unscored(columns),
        *partial_means(columns),
        *_never_began(columns),
    ]


def _never_began(columns: Sequence[Column]) -> list[str]:
    """Why a column has dashes in the rows of its masks."""
    said = []
    for column in columns:
        starts = [(run.results.get("diagnostics") or {}) for run in column.runs]
        never = sum(
            "strategy_start_step" in one and one["strategy_start_step"] is None for one in starts
        )
        if never:
            some = "" if never == len(starts) else f" in {never} of {len(starts)} runs"
            said.append(f"{column.label}{some}")
    if not said:
        return []
    return [
        f"Not measured, a dash among the masks: the strategy never began for {joined(said)}; every "
        "mask was random."
    ]


def differing(columns: Sequence[Column]) -> list[str]:
    """What of the set-ups differs so that scores, or losses, do not compare."""
    notes = []
    if parts := scores_differ(columns):
        notes.append(f"Scores are not comparable: the runs differ in {joined(parts)}.")
    if parts := losses_differ(columns):
        notes.append(f"Losses are not comparable: the runs differ in {joined(parts)}.")
    return notes


def identical(columns: Sequence[Column]) -> list[str]:
    """Methods whose models came out the same: a strategy that never began, or constant scores."""
    same: dict[str, list[str]] = {}
    for column in columns:
        for run in column.runs:
            if measured := run.results.get("validation"):
                same.setdefault(repr(sorted(measured.items())), []).append(column.label)
    groups = [list(dict.fromkeys(labels)) for labels in same.values()]
    return [
        f"{joined(labels)} have the very same validation results: their masks did not differ."
        for labels in groups
        if len(labels) > 1
    ]


def odd_sizes(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """The tasks that the columns were scored on different examples of."""
    # Where the set-up differs, no row is comparable and the first note has said so.
    if scores_differ(columns):
        return []
    odd = [row.label for row in rows if row.section == "Scores" and not row.comparable]
    return [f"Not comparable, scored on different examples: {', '.join(odd)}."] if odd else []


def _ranking(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    scored = _scored(rows)
    if not scored or len(columns) < 2:
        return []
    notes = unranked(rows)
    ranked = [row for row in scored if row.best is not None]
    close = [row for row in ranked if _close(row)]
    if close:
        notes.append(
            f"In {len(close)} of {len(ranked)} ranked rows the runner-up is within one standard "
            "deviation of the best."
        )
    if any(row.untrained is None for row in scored):
        notes.append(
            "No floor without pretraining where 'untrained' is empty (evaluation.floor was false)."
        )
    return notes


def _scored(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.section == "Scores" and row.comparable]


def unranked(rows: Sequence[Row]) -> list[str]:
    """The rows in which nothing is above the floors, so that an order means nothing."""
    scored = _scored(rows)
    below = [row.label for row in scored if not row.ranks]
    if scored and len(below) == len(scored):
        return ["No ranking: no run is above the floors on any task."]
    return [f"No ranking, no run is above the floors: {', '.join(below)}."] if below else []


def _close(row: Row) -> bool:
    assert row.best is not None
    best = row.values[row.best]
    others = [mean for column, mean in row.means if column != row.best]
    if best is None or best.mean is None or best.sd is None:
        return False
    return best.mean - max(others) <= best.sd


def _seeds(columns: Sequence[Column]) -> list[str]:
    counts = {column.label: len(column.runs) for column in columns}
    few = [label for label, count in counts.items() if count < ENOUGH_SEEDS]
    if not few:
        return []
    if max(counts.values()) == 1:
        return [
            "One pretraining seed for each method proves nothing: ± is over fine-tuning seeds "
            f"alone. Run at least {ENOUGH_SEEDS} seeds before believing a difference."
        ]
    return [
        f"Fewer than {ENOUGH_SEEDS} pretraining seeds: "
        + ", ".join(f"{label} (n = {counts[label]})" for label in few)
        + "; ± is over pretraining seeds where n > 1, over fine-tuning seeds where n = 1."
    ]


def _compute(columns: Sequence[Column]) -> list[str]:
    flops = [[_flops(run) for run in column.runs] for column in columns]
    known = [[x for x in numbers if x is not None] for numbers in flops]
    if not all(known):
        return []
    means = [sum(numbers) / len(numbers) for numbers in known]
    if min(means) <= 0 or max(means) <= (1 + MATCHED) * min(means):
        return []
    least, most = columns[means.index(min(means))].label, columns[means.index(max(means))].label
    return [
        f"Compute is not matched: {most} used {max(means) / min(means):.2f} times the FLOPs of "
        f"{least}; compare at equal FLOPs as well."
    ]


def _flops(run: Run) -> float | None:
    """Of pretraining and of the teacher's scores, if any; None where pretraining's are unknown."""
    trained, scored = entry("cost", "flops")(run), entry("cost", "scoring_flops")(run)
    return None if trained is None else trained + (scored or 0.0)


def unscored(columns: Sequence[Column]) -> list[str]:
    """Tasks that a run was to be scored on and was not."""
    notes = []
    for column in columns:
        missing = sorted(
            {
                task
                for run in column.runs
                for task in run.spec.evaluation.tasks
                if task not in (run.results.get("tasks") or {})
            }
        )
        if missing:
            notes.append(f"{column.label} has no score for {', '.join(missing)}.")
    return notes


def partial_means(columns: Sequence[Column]) -> list[str]:
    """Whether a GLUE mean is one of fewer tasks than the usual eight."""
    glue = [set(scored_glue(column)) for column in columns]
    if not any(glue) or all(set(GLUE8) <= tasks for tasks in glue):
        return []
    return ["A GLUE mean of fewer than 8 tasks compares only with a mean of the very same tasks."]

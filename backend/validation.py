"""What a spec would become: resolved, hashed, with its cost and what its author should know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from backend.estimates import Clock, estimate
from backend.specs import CheckedSpec, check_spec
from backend.store.history import finished, has_group, speed
from backend.store.locks import get_run
from entromask.analysis.cautions import ENOUGH_SEEDS
from entromask.compatibility import advice
from entromask.resources import OVER, Validation
from entromask.settings import settings
from entromask.spec import ModelReference, RunSpec

# The demo's runs (2x128, 64 tokens a row) leave the plateau of unigram frequencies after about
# 430,000 tokens, those of docs/first-results.md (128 tokens a row) after 1.4 to 1.8 million.
_PLATEAU_TOKENS = 400_000


def validate(session: Session, data: dict[str, Any]) -> dict[str, Any]:
    """The answer to `validate_only`, as `resources.Validation`.

    Raises:
        SpecError: the spec is refused.
    """
    checked = check_spec(session, data)
    spec = checked.spec
    named = spec.teacher.run if spec.teacher is not None else None
    teacher = get_run(session, named) if named is not None else None
    clock = Clock(finished(session), speed(session))
    cost = estimate(spec, clock, teacher.spec if teacher is not None else None)
    seeds = has_group(session, spec.group_hash, spec.seed)
    return Validation(
        spec=spec.data(),
        spec_hash=spec.spec_hash,
        group_hash=spec.group_hash,
        estimate=cost,
        warnings=[*_of_checkpoints(session, spec), *warnings(checked, seeds, cost.tokens)],
    ).model_dump()


def warnings(checked: CheckedSpec, seeds: int, tokens: int | None) -> Iterator[str]:
    """What is allowed and still worth knowing, one sentence each.

    Args:
        seeds: how many seeds of this method there will be.
    """
    spec = checked.spec
    if checked.waits_for is not None:
        yield f"the run starts when {checked.waits_for} has succeeded"
    if seeds < ENOUGH_SEEDS:
        yield (
            f"with this run the method has {seeds} of at least {ENOUGH_SEEDS} pretraining seeds; "
            "a difference of single runs proves nothing"
        )
    yield from advice(spec)
    if tokens is not None and tokens < _PLATEAU_TOKENS and spec.model.init == "scratch":
        yield (
            f"{tokens:,} tokens are few: the smallest models measured left the plateau of unigram "
            "frequencies after 430,000 to 1,800,000, and on it masking makes no difference"
        )
    yield from _of_evaluation(spec)


def _of_checkpoints(session: Session, spec: RunSpec) -> Iterator[str]:
    for reference in (spec.teacher, spec.model.init):
        if not isinstance(reference, ModelReference) or reference.checkpoint is None:
            continue
        run = get_run(session, str(reference.run))
        if run is not None and run.status not in OVER:
            yield (
                f"the run {run.id} is {run.status} and keeps its last two checkpoints and the "
                f"best: the one at step {reference.checkpoint} may be gone when this run starts"
            )


def _of_evaluation(spec: RunSpec) -> Iterator[str]:
    tasks = [spec.evaluation.task(name) for name in spec.evaluation.tasks]
    if not tasks:
        yield "no tasks: the run ends with its validation loss, without scores"
    real = [task.name for task in tasks if task.kind not in ("demo", "user")]
    if real and spec.evaluation.source is None and not settings().glue_folders:
        yield (
            "evaluation.source is null and ENTROMASK_GLUE_DIR is not set on this server: the "
            f"workers' own is used for {', '.join(real)}, else the Hub"
        )

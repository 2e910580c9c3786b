"""The content of results.json, from a finished pretraining and its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from entromask.preparing import Inputs
from entromask.spec import RunSpec

if TYPE_CHECKING:
    from entromask.masking.store import ScoreStore
    from entromask.training.pretraining import Pretraining


@dataclass(frozen=True)
class Trained:
    """A pretraining at its end; `scoring` is what the teacher's scores cost."""

    inputs: Inputs
    loop: Pretraining
    store: ScoreStore | None
    scoring: dict[str, float]


def results_of(
    spec: RunSpec,
    trained: Trained,
    validation: dict[str, float],
    tasks: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """Puts together what a run found.

    Args:
        validation: of the finished model, on the common masks.
        tasks: the table of `evaluate`.
    """
    from entromask.analysis.diagnostics import warnings_for
    from entromask.calibration import device_name
    from entromask.glue.evaluation import averages
    from entromask.masking.scoring import score_levels

    inputs, loop, store = trained.inputs, trained.loop, trained.store
    state = loop.progress
    tokens = state.step * spec.pretraining.batch_size * spec.pretraining.sequence_length
    names = inputs.tokenizer.convert_ids_to_tokens(list(range(len(inputs.tokenizer))))
    of_teacher = {}
    if store is not None:
        levels = score_levels(store, inputs.corpus.train, inputs.tokenizer)
        of_teacher["teacher_score_levels"] = levels
    # Only where scores of the run's own are stored.
    of_cache = {"cache_agreement": state.cache_agreement} if loop.agreement is not None else {}
    data: dict[str, Any] = {
        "spec_hash": spec.spec_hash,
        "group_hash": spec.group_hash,
        "seed": spec.seed,
        "text": inputs.corpus.text.data(),
        "tokenizer": inputs.facts["tokenizer"],
        "validation": validation,
        "tasks": tasks,
        "averages": averages(tasks),
        "diagnostics": {
            "plateau_exit_step": state.plateau_exit_step,
            "strategy_start_step": state.strategy_start_step,
            **loop.diagnostics.report(names),
            **of_teacher,
            "collapse_step": state.collapse_step,
            "collapse_type_ratio": state.collapse_type_ratio,
            "entropy_histograms": state.entropy_histograms,
            **of_cache,
            "collapsed_tasks": [name for name, task in tasks.items() if task.get("collapsed")],
        },
        "cost": {
            "steps": state.step,
            "tokens": tokens,
            "masked_tokens": state.masked_tokens,
            "flops": state.flops,
            "seconds": state.seconds,
            "device": device_name(),
            # A run of no steps has no speed.
            "tokens_per_second": tokens / max(1e-9, state.seconds) if state.step else None,
            **{f"scoring_{name}": value for name, value in trained.scoring.items()},
        },
    }
    told = [*inputs.warnings, *inputs.corpus.text.warnings()]
    return data | {"warnings": [*told, *warnings_for(data, spec)]}

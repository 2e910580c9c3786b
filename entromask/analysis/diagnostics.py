"""Warnings in words: what a run's own diagnostics say about how far it can be believed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from entromask.analysis.table import number
from entromask.compatibility import uses_teacher
from entromask.presets import PROTOCOLS
from entromask.spec import RateSchedule, RunSpec
from entromask.text.sequences import reading_warnings

# Thresholds, next to the figures of the trial that they come from (random masking: 0.15, 0.53).
PLATEAU_NATS = 0.5  # a loss this far below the unigram loss has left the plateau
REPEAT_RATE = 0.5  # hard top-k 0.55-1.0, sampling 0.15-0.33
COVERAGE = 0.3  # of a few epochs: sampling at 15 % covers more, one fixed mask covers 0.15
FREQUENT_SHARE = 0.15  # share of the 100 most frequent types among the predictions
DISTINCT_SHARE = 0.5  # of the vocabulary's types that occur, how many are ever predicted
FRESH_GAIN = 0.15  # of the agreement with fresh scores that chance leaves over
BIAS_GAP = 0.2  # nats that refitting the output bias alone wins back
TIED_SHARE = 0.1  # of a hard selection; rounded entropies with a deviation of 2 nats: 0.01 to 0.05
SCORE_LEVELS = 4  # of the 256 that scores are stored in; a teacher of 30 steps fills 2

Finding = Callable[[Mapping[str, Any], RunSpec], str | None]


def warnings_for(results: Mapping[str, Any], spec: RunSpec) -> list[str]:
    """Every warning that a run's results call for, the gravest first.

    Args:
        results: the content of results.json; absent numbers raise no warning.
        spec: the run's spec, resolved or not.
    """
    spec = spec.resolved()
    found = (finding(results, spec) for finding in _FINDINGS)
    warnings = [warning for warning in found if warning is not None]
    for name, task in (results.get("tasks") or {}).items():
        warnings += reading_warnings(name, task)
    return warnings


def _get(results: Mapping[str, Any], part: str, key: str) -> float | None:
    return number((results.get(part) or {}).get(key))


def _self_masking_never_began(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    if spec.masking.warmup != "plateau" or not _on_plateau(results):
        return None
    return (
        "the masks were random from the first to the last step: the warm-up ends when the unigram "
        "plateau is left, and it was not; train longer, raise the learning rate, or use a smaller "
        "vocabulary"
    )


def _on_plateau(results: Mapping[str, Any]) -> bool:
    diagnostics = results.get("diagnostics") or {}
    return "plateau_exit_step" in diagnostics and diagnostics["plateau_exit_step"] is None


def _plateau(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    # Random weights that were asked for are on it, and nobody wonders.
    if not _on_plateau(results) or spec.pretraining.budget.steps == 0:
        return None
    loss, unigram = (_get(results, "validation", key) for key in ("loss", "unigram_loss"))
    evidence = ""
    if loss is not None and unigram is not None:
        evidence = f" ({loss:.2f} against {unigram:.2f} nats)"
    return (
        f"the model never left the unigram plateau: its loss on the common mask{evidence} did not "
        f"fall {PLATEAU_NATS} nats below the unigram loss, so it has learned word frequencies and "
        f"little more; train longer, or raise the learning rate{_other_architecture(spec)}"
    )


def _other_architecture(spec: RunSpec) -> str:
    """Learned positions with post-norm stay on the plateau for longest."""
    return "" if spec.model.architecture in (None, "modernbert") else ", or try modernbert"


def _teacher_unused(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    if spec.teacher is None or uses_teacher(spec):
        return None
    return (
        f"the teacher ({spec.teacher}) is never asked: masking {_masking_name(spec)} scores "
        "without one, and nothing is distilled or initialised from it; remove it (and name its "
        "tokenizer under tokenizer), or use a teacher-* preset"
    )


def _masking_name(spec: RunSpec) -> str:
    return f"preset {spec.masking.preset}" if spec.masking.preset else f"{spec.masking.score}"


def _teacher_constant(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    levels = _get(results, "diagnostics", "teacher_score_levels")
    if levels is None or levels >= SCORE_LEVELS or spec.masking.source != "teacher":
        return None
    view = ", or view: masked" if spec.masking.view == "visible" else ""
    return (
        f"the teacher's scores are nearly constant: 90% of them lie on {levels:.0f} of 256 levels, "
        "so that chance decides between most positions; use a teacher that was trained for "
        f"longer or on text like this{view}"
    )


def _ties(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    share = _mask_number(results, "tied_share")
    if share is None or share <= TIED_SHARE:
        return None
    if spec.masking.refresh == "cached" and spec.masking.source in ("teacher", "self"):
        why, hint = "stored scores have 256 levels", "or refresh: fresh, whose are not rounded"
    else:
        why, hint = "such as those of one token type", "which says how likely each is"
    return (
        f"{share:.0%} of the selection by {spec.masking.select} was decided by chance between "
        f"equal scores ({why}); use select: sample, {hint}"
    )


def _is_random(spec: RunSpec) -> bool:
    """Whether the masks are uniform, so that nothing about them can be blamed on a selection."""
    return spec.masking.score == "uniform"


def _mask_number(results: Mapping[str, Any], key: str) -> float | None:
    """A number about the strategy's masks; None where the strategy never began."""
    diagnostics = results.get("diagnostics") or {}
    if diagnostics.get("strategy_start_step", 0) is None:
        return None
    return number(diagnostics.get(key))


def _repeat(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    rate = _mask_number(results, "mask_repeat_rate")
    if rate is None or rate <= max(REPEAT_RATE, _rate(spec) + 0.2):
        return None
    return (
        f"{rate:.0%} of the masked positions are masked again in the next epoch (random masking: "
        f"about {_rate(spec):.0%}), which invites memorisation; use select: sample, or explore: 0.3"
    )


def _rate(spec: RunSpec) -> float:
    """The mean over the run: every schedule spends as much time above its middle as below."""
    rate = spec.masking.rate
    if isinstance(rate, RateSchedule):
        return (rate.start + rate.end) / 2
    return 0.15 if rate is None else rate


def _coverage(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    share, repeat = (
        _mask_number(results, key) for key in ("position_coverage", "mask_repeat_rate")
    )
    # Without a second epoch there is no repeat rate, and random masks cover as little.
    if share is None or repeat is None or repeat <= _rate(spec) + 0.1 or share >= COVERAGE:
        return None
    return (
        f"only {share:.0%} of the corpus positions were ever predicted; use select: sample, or an "
        "explore share"
    )


def _frequent(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    share = _mask_number(results, "frequent_type_share")
    if share is None or share >= FREQUENT_SHARE or _is_random(spec):
        return None
    return (
        f"only {share:.0%} of the predictions are of the 100 most frequent types (random masking: "
        "about half): the loss on the common mask suffers for it; look at the bias refit and at "
        "the loss on all other types, or add explore: 0.3"
    )


def _concentration(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    share = _mask_number(results, "distinct_type_share")
    if share is None or share >= DISTINCT_SHARE or _is_random(spec):
        return None
    return (
        f"the selection is concentrated: only {share:.0%} of the token types that occur are ever "
        "predicted; use select: sample with a higher temperature, or explore: 0.3"
    )


def _collapse(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    step, then, overall = (
        _mask_number(results, key)
        for key in ("collapse_step", "collapse_type_ratio", "effective_type_ratio")
    )
    if step is None or then is None or overall is None:
        return None
    top = list((results.get("diagnostics") or {}).get("top_masked_types") or {})[:5]
    return (
        f"the selection collapsed at step {step:.0f}: its masks fell on effectively {then:.0%} as "
        f"many token types as random ones would then, and on {overall:.0%} over the run"
        + (f" (most often {', '.join(map(repr, top))})" if top else "")
        + "; use select: sample with a higher temperature, explore: 0.3, or a longer warmup"
    )


def _stale_cache(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    looks = (results.get("diagnostics") or {}).get("cache_agreement") or []
    if not looks:
        return None
    agreement, floor = (
        number(looks[-1].get(key)) for key in ("cache_agreement", "cache_agreement_uniform")
    )
    if agreement is None or floor is None or agreement >= floor + FRESH_GAIN * (1 - floor):
        return None
    return (
        f"the stored scores have little to do with the model's own by now: {agreement:.0%} of the "
        f"positions that they select are those of fresh scores, and {floor:.0%} would be by "
        "chance; train for more epochs, use refresh: fresh, or a share of random masks (explore)"
    )


def _bias_gap(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    loss, refit = (_get(results, "validation", key) for key in ("loss", "loss_bias_refit"))
    if loss is None or refit is None or loss - refit <= BIAS_GAP or _is_random(spec):
        return None
    return (
        f"refitting only the output bias lowers the common loss from {loss:.2f} to {refit:.2f} "
        "nats: that part of the gap to random masking is the token prior; compare the refitted loss"
    )


def _visible(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    if spec.masking.score != "entropy" or spec.masking.view != "visible":
        return None
    return (
        "visible entropy is close to a table of word frequencies; compare with preset frequency, "
        "and with the masked view"
    )


def _collapsed(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    tasks = (results.get("diagnostics") or {}).get("collapsed_tasks") or []
    if not tasks:
        return None
    return (
        f"at or under the majority floor: {', '.join(map(str, tasks))}; these scores rank nothing"
    )


def _unconverged(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    tasks = results.get("tasks") or {}
    names = [name for name, task in tasks.items() if task.get("converged") is False]
    floors = [name for name, task in tasks.items() if task.get("untrained_converged") is False]
    parts = []
    if names:
        parts.append(f"on {', '.join(names)}")
    if floors:
        parts.append(f"of the model without pretraining on {', '.join(floors)}")
    if not parts:
        return None
    return (
        f"the training loss was still falling when the fine-tuning {' and '.join(parts)} ended, so "
        "that more steps or a higher learning rate would change the score, and perhaps the order "
        "of two models; compare with evaluation.protocol: search"
    )


def _edge(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    selections = {
        name: task["selection"]
        for name, task in (results.get("tasks") or {}).items()
        if (task.get("selection") or {}).get("at_edge")
    }
    if not selections:
        return None
    rates = ", ".join(f"{name} {s['learning_rate']:g}" for name, s in selections.items())
    return (
        f"the selected learning rate is at the edge of the grid, which was extended as far as it "
        f"goes: {rates}; a rate beyond it may be better"
    )


def _selects_on_reported(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    name, tasks = spec.evaluation.protocol, spec.evaluation.tasks
    if not PROTOCOLS[name].selects_on_reported or all(task == "blimp" for task in tasks):
        return None
    return (
        f"the protocol {name} stops early on the very rows that it reports, so that its scores are "
        "too good; compare them with scores made alike alone, and use evaluation.protocol: fixed "
        "or search for a claim"
    )


def _minutes(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    if spec.pretraining.budget.minutes is None:
        return None
    return (
        "a budget in minutes cannot be reproduced: another machine takes another number of steps; "
        "use steps or tokens for a run that others shall repeat"
    )


def _one_seed(results: Mapping[str, Any], spec: RunSpec) -> str | None:
    if not spec.evaluation.tasks or len(spec.evaluation.seeds) > 1:
        return None
    if all(task == "blimp" for task in spec.evaluation.tasks):
        return None
    return "one fine-tuning seed gives no error bar; use evaluation.seeds: [0, 1, 2]"


_FINDINGS: tuple[Finding, ...] = (
    _plateau,
    _self_masking_never_began,
    _teacher_constant,
    _ties,
    _repeat,
    _coverage,
    _frequent,
    _concentration,
    _collapse,
    _stale_cache,
    _bias_gap,
    _visible,
    _teacher_unused,
    _collapsed,
    _unconverged,
    _edge,
    _selects_on_reported,
    _one_seed,
    _minutes,
)

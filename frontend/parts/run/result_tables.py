"""The parts of results.json beside the scores, in words: validation, masks, cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from frontend.parts.words import amount, duration

Rows = list[list[str]]
Show = Callable[[Any], str]


def _nats(value: float) -> str:
    return f"{value:.3f} nats"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _flops(value: float) -> str:
    return f"{amount(value)}FLOP" if value >= 1000 else f"{value:.0f} FLOP"


def _names(value: Any) -> str:
    return ", ".join(map(str, value)) or "none"


def _last_agreement(measured: Sequence[Mapping[str, float]]) -> str:
    """Of the evaluations that compared stored scores with fresh ones."""
    if not measured:
        return "not measured"
    last = measured[-1]
    floor = last.get("cache_agreement_uniform")
    beside = "" if floor is None else f" (uniform {_share(floor)})"
    return f"{_share(last['cache_agreement'])}{beside}"


# key, words, how it is shown; in the order of the tables
_VALIDATION: tuple[tuple[str, str, Show], ...] = (
    ("loss", "Loss", _nats),
    ("loss_bias_refit", "Loss after refitting the output bias alone", _nats),
    ("loss_frequent", "Loss on the 100 most frequent types", _nats),
    ("loss_rest", "Loss on all other types", _nats),
    ("unigram_loss", "Loss of word frequencies alone (unigram)", _nats),
    ("entropy", "Mean predictive entropy", _nats),
    ("accuracy", "Accuracy", _share),
    ("positions", "Masked positions", _count),
)
_MASKS: tuple[tuple[str, str, Show], ...] = (
    ("plateau_exit_step", "Unigram plateau left at step", _count),
    ("strategy_start_step", "Masks by the strategy from step", _count),
    ("mask_repeat_rate", "Masked again in the next epoch", _share),
    ("position_coverage", "Positions that were ever masked", _share),
    ("distinct_type_share", "Token types that were ever masked", _share),
    ("frequent_type_share", "Masks on the 100 most frequent types", _share),
    ("effective_type_ratio", "Effective token types / those of the corpus", _ratio),
    ("tied_share", "Selection decided by ties between equal scores", _share),
    ("collapse_step", "Selection collapsed at step", _count),
    ("cache_agreement", "Stored scores select what fresh ones do", _last_agreement),
    ("teacher_score_levels", "Levels of the teacher's scores, of 256", _count),
    ("collapsed_tasks", "Tasks at or under the majority floor", _names),
)
_COST: tuple[tuple[str, str, Show], ...] = (
    ("steps", "Steps", _count),
    ("tokens", "Tokens", _count),
    ("masked_tokens", "Predicted tokens", _count),
    ("flops", "Compute", _flops),
    ("seconds", "Time", duration),
    ("tokens_per_second", "Tokens per second", _count),
    ("scoring_flops", "Teacher's scores: compute", _flops),
    ("scoring_seconds", "Teacher's scores: time", duration),
)
# Null is an answer for these: it never happened.
_NEVER = ("plateau_exit_step", "strategy_start_step", "collapse_step")
# What is measured of the strategy's masks alone.
_OF_STRATEGY = (
    *("mask_repeat_rate", "position_coverage", "distinct_type_share", "frequent_type_share"),
    *("effective_type_ratio", "tied_share", "collapse_step", "cache_agreement"),
)
_NO_STRATEGY = "- (the strategy's masks never began)"
_WHY_NOT = {
    "mask_repeat_rate": "- (no row came again under the strategy)",
    "tokens_per_second": "- (not a step was trained)",
    "loss_bias_refit": "- (not measured)",
}


def validation_rows(results: Mapping[str, Any]) -> Rows:
    return _rows(results.get("validation"), _VALIDATION)


def mask_rows(results: Mapping[str, Any]) -> Rows:
    return _rows(results.get("diagnostics"), _MASKS)


def cost_rows(results: Mapping[str, Any]) -> Rows:
    return _rows(results.get("cost"), _COST)


def top_types(results: Mapping[str, Any]) -> str:
    """The most masked types with their share of the masks, in one line."""
    found = (results.get("diagnostics") or {}).get("top_masked_types") or {}
    return ",  ".join(f"{token} {100 * share:.1f} %" for token, share in found.items())


def _rows(part: Mapping[str, Any] | None, kinds: tuple[tuple[str, str, Show], ...]) -> Rows:
    rows = []
    part = part or {}
    began = part.get("strategy_start_step", 0) is not None
    for key, label, show in kinds:
        value = part.get(key)
        if key in part and key in _OF_STRATEGY and not began:
            rows.append([label, _NO_STRATEGY])
        elif value is not None:
            rows.append([label, show(value)])
        elif key in part and key in _NEVER:
            rows.append([label, "never"])
        elif key in part and key in _WHY_NOT:
            rows.append([label, _WHY_NOT[key]])
    return rows

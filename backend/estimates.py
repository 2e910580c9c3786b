"""What a run will cost: from its budget, its model's shape and the speed of earlier runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from entromask.estimates import parameters, training_flops
from entromask.resources import Estimate
from entromask.spec import ModelReference, RunSpec, TrainedTokenizer

# (spec, cost) of a finished run.
Earlier = tuple[dict[str, Any], dict[str, Any]]

_SAME_SPEED = (("model", "architecture"), ("model", "size"), ("masking", "source"))
_SAME_ROWS = (("corpus",), ("tokenizer",), ("pretraining", "sequence_length"))


def estimate(spec: RunSpec, earlier: Sequence[Earlier]) -> Estimate:
    """The cost of a resolved spec; what cannot be known is null, and `basis` says why.

    Args:
        earlier: finished runs, the newest first.
    """
    data = spec.data()
    speed, number = _speed(data, earlier)
    tokens, basis = _tokens(spec, data, earlier, speed)
    step = spec.pretraining.batch_size * spec.pretraining.sequence_length
    words = [basis]
    weights, flops = None, None
    vocabulary = _vocabulary(spec)
    if isinstance(spec.model.init, ModelReference):
        words.append("the model brings its own shape, so parameters and FLOPs are unknown")
    elif vocabulary is None:
        words.append("the tokenizer is not looked into, so parameters and FLOPs are unknown")
    else:
        words.append(f"parameters and FLOPs by formula, for a vocabulary of {vocabulary:,} types")
        weights = _parameters(spec, vocabulary)
        flops = None if tokens is None else _flops(spec, vocabulary, tokens)
    seconds = tokens / speed if tokens is not None and speed else None
    if spec.pretraining.budget.minutes is not None:
        seconds = 60 * spec.pretraining.budget.minutes
    elif number:
        words.append(f"seconds from the median speed of {number} earlier runs of this shape")
    else:
        words.append("no earlier run of this shape tells a speed")
    return Estimate(
        tokens=tokens,
        steps=None if tokens is None else math.ceil(tokens / step),
        parameters=weights,
        flops=flops,
        seconds=seconds,
        basis="; ".join(words),
    )


def _tokens(
    spec: RunSpec, data: dict[str, Any], earlier: Sequence[Earlier], speed: float | None
) -> tuple[int | None, str]:
    budget, pretraining = spec.pretraining.budget, spec.pretraining
    step = pretraining.batch_size * pretraining.sequence_length
    if budget.steps is not None:
        return budget.steps * step, "tokens from the budget of steps"
    if budget.tokens is not None:
        return math.ceil(budget.tokens / step) * step, "tokens from the budget, in whole steps"
    if budget.epochs is not None:
        epoch = _epoch(data, earlier)
        if epoch is None:
            return None, "an epoch's tokens are known once the corpus is packed"
        return round(budget.epochs * epoch), "tokens from an earlier run on this corpus"
    if speed is None or budget.minutes is None:
        return None, "a budget of minutes gives as many tokens as the hardware trains on"
    return round(60 * budget.minutes * speed), "tokens from the budget of minutes and the speed"


def _speed(data: dict[str, Any], earlier: Sequence[Earlier]) -> tuple[float | None, int]:
    """The median of tokens per second, and over how many runs."""
    speeds = [
        cost["tokens_per_second"]
        for spec, cost in earlier
        if cost.get("tokens_per_second") and _same(spec, data, _SAME_SPEED)
    ]
    return (median(speeds), len(speeds)) if speeds else (None, 0)


def _epoch(data: dict[str, Any], earlier: Sequence[Earlier]) -> float | None:
    """The tokens of an epoch, where an earlier run had the same corpus, packed alike."""
    for spec, cost in earlier:
        epochs = spec["pretraining"]["budget"].get("epochs")
        if epochs and cost.get("tokens") and _same(spec, data, _SAME_ROWS):
            return float(cost["tokens"]) / float(epochs)
    return None


def _same(one: Any, other: Any, places: Sequence[Sequence[str]]) -> bool:
    return all(_at(one, place) == _at(other, place) for place in places)


def _at(data: Any, place: Sequence[str]) -> Any:
    for key in place:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _vocabulary(spec: RunSpec) -> int | None:
    tokenizer = spec.tokenizer
    return tokenizer.vocab_size if isinstance(tokenizer, TrainedTokenizer) else None


def _parameters(spec: RunSpec, vocabulary: int) -> int:
    model, positions = spec.model, spec.pretraining.sequence_length
    return parameters(str(model.architecture), str(model.size), vocabulary, positions)


def _flops(spec: RunSpec, vocabulary: int, tokens: int) -> float:
    masking = spec.masking
    rate = masking.rate if isinstance(masking.rate, float) else 0.15
    # The warm-up is uniform and costs no scores; until the plateau is left is not known before.
    share = 1 - masking.warmup if isinstance(masking.warmup, float) else 1.0
    scored = tokens * share if masking.source == "self" else 0.0
    return training_flops(
        str(spec.model.architecture),
        str(spec.model.size),
        vocabulary,
        spec.pretraining.sequence_length,
        tokens,
        rate=rate,
        scored=scored,
    )

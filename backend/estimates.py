"""What a run will cost: from its budget, its model's shape and the speed of earlier runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from entromask.estimates import Compute, asks_teacher_each_step, parameters, pretraining_flops
from entromask.resources import Estimate
from entromask.spec import LocalTokenizer, ModelReference, RunSpec, TrainedTokenizer

# (spec, cost) of a finished run.
Earlier = tuple[dict[str, Any], dict[str, Any]]

_SAME_SPEED = (
    ("model", "architecture"),
    ("model", "size"),
    *(("masking", key) for key in ("source", "view", "refresh")),
    *(("distillation", key) for key in ("refresh", "positions", "top_k")),
)
_SAME_ROWS = (("corpus",), ("tokenizer",), ("pretraining", "sequence_length"))


def estimate(
    spec: RunSpec, earlier: Sequence[Earlier], teacher: dict[str, Any] | None = None
) -> Estimate:
    """The cost of a resolved spec; what cannot be known is null, and `basis` says why.

    Args:
        earlier: finished runs, the newest first.
        teacher: the spec of the run that is the teacher; None where it is none of this server's.
    """
    data = spec.data()
    speed, number = _speed(data, earlier)
    tokens, basis = _tokens(spec, data, earlier, speed)
    step = spec.pretraining.batch_size * spec.pretraining.sequence_length
    words = [basis]
    weights, flops = None, None
    vocabulary = _vocabulary(spec, teacher)
    if isinstance(spec.model.init, ModelReference):
        words.append("the model brings its own shape, so parameters and FLOPs are unknown")
    elif vocabulary is None:
        words.append("the tokenizer is not looked into, so parameters and FLOPs are unknown")
    else:
        words.append(f"parameters and FLOPs by formula, for a vocabulary of {vocabulary:,} types")
        weights = _parameters(spec, vocabulary)
        model = _shape(teacher)
        flops = None if tokens is None else _flops(spec, model, vocabulary, tokens)
        if model is None and asks_teacher_each_step(spec.masking, spec.distillation):
            words.append("the teacher's passes are counted as those of a model of this run's shape")
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


def _vocabulary(spec: RunSpec, teacher: dict[str, Any] | None) -> int | None:
    tokenizer = spec.tokenizer
    if isinstance(tokenizer, TrainedTokenizer):
        return tokenizer.vocab_size
    if not isinstance(tokenizer, LocalTokenizer) or spec.teacher is None:
        return None
    of_teacher = str(spec.teacher.run) in Path(tokenizer.path).parts
    size = _at(teacher, ("tokenizer", "vocab_size"))
    return size if of_teacher and isinstance(size, int) else None


def _shape(teacher: dict[str, Any] | None) -> tuple[str, str] | None:
    """Architecture and size of a run's model; None where they are not in its spec."""
    architecture, size = (_at(teacher, ("model", key)) for key in ("architecture", "size"))
    return (architecture, size) if architecture and size else None


def _parameters(spec: RunSpec, vocabulary: int) -> int:
    model, positions = spec.model, spec.pretraining.sequence_length
    return parameters(str(model.architecture), str(model.size), vocabulary, positions)


def _flops(spec: RunSpec, teacher: tuple[str, str] | None, vocabulary: int, tokens: int) -> float:
    own = (str(spec.model.architecture), str(spec.model.size))
    student, asked = (
        Compute.of(*shape, vocabulary, spec.pretraining.sequence_length)
        for shape in (own, teacher or own)
    )
    return pretraining_flops(spec.masking, spec.distillation, student, asked, tokens)

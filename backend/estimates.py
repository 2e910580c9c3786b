"""What a run will cost: from its budget, its model's shape, a machine's speed and earlier runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from backend.store.history import Earlier
from entromask.durations import STAGES, Durations, Finished, Model, Piece, Speed, pieces
from entromask.errors import EntromaskError
from entromask.estimates import Compute, asks_teacher_each_step, parameters, pretraining_flops
from entromask.resources import Estimate
from entromask.spec import LocalTokenizer, ModelReference, RunSpec, TrainedTokenizer

_SAME_SPEED = (
    ("model", "architecture"),
    ("model", "size"),
    *(("masking", key) for key in ("source", "view", "refresh")),
    *(("distillation", key) for key in ("refresh", "positions", "top_k")),
)
_SAME_ROWS = (("corpus",), ("tokenizer",), ("pretraining", "sequence_length"))


# A model or a vocabulary that the spec does not tell: that of a spec without a choice.
_SHAPE, _TYPES = ("bert", "mini"), 30_522


@dataclass
class Clock:
    """What tells how long a run takes.

    Attributes:
        earlier: finished runs, the newest first.
        speed: of the machine; None where it was not measured.
    """

    earlier: Sequence[Earlier] = ()
    speed: Speed | None = None

    @cached_property
    def durations(self) -> Durations:
        return Durations(self.speed, self._finished)

    @cached_property
    def shared(self) -> frozenset[str]:
        """What earlier runs have done for all that come after them."""
        runs = self._finished
        return frozenset(piece.shared for run in runs for piece in run.pieces if piece.shared)

    @cached_property
    def _finished(self) -> list[Finished]:
        return [run for run in map(_finished, self.earlier) if run is not None]


def estimate(
    spec: RunSpec,
    clock: Clock,
    teacher: dict[str, Any] | None = None,
    done: Collection[str] | None = None,
) -> Estimate:
    """The cost of a resolved spec; what cannot be known is null, and `basis` says why.

    Args:
        teacher: the spec of the run that is the teacher; None where it is none of this server's.
        done: what need not be done again, as `Piece.shared`; None: what earlier runs have done.
    """
    data = spec.data()
    tokens, basis = _tokens(spec, data, clock.earlier)
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
    stages, sentence = _stages(spec, clock, teacher, tokens, done)
    known = all(stage in stages for stage in STAGES)
    return Estimate(
        tokens=tokens,
        steps=None if tokens is None else math.ceil(tokens / step),
        parameters=weights,
        flops=flops,
        seconds=sum(stages.values()) if known else None,
        stages=stages,
        basis="; ".join([*words, sentence]),
    )


def shared_by(spec: RunSpec, teacher: dict[str, Any] | None = None) -> set[str]:
    """What a run does for all that come after it."""
    return {piece.shared for piece in _pieces(spec, 0, teacher) if piece.shared}


def _stages(
    spec: RunSpec,
    clock: Clock,
    teacher: dict[str, Any] | None,
    tokens: int | None,
    done: Collection[str] | None,
) -> tuple[dict[str, float], str]:
    """Seconds by stage, without those that are not known, and what they rest on."""
    durations = clock.durations
    done = clock.shared if done is None else done
    minutes = spec.pretraining.budget.minutes
    shape_known = not isinstance(spec.model.init, ModelReference)
    stages: dict[str, float | None] = dict.fromkeys(STAGES, 0.0)
    learned = 0
    for piece in _pieces(spec, tokens or 0, teacher):
        if piece.shared in done:
            continue
        seconds = durations.seconds(piece)
        same = durations.learned(piece)
        if piece.stage == "pretraining":
            learned = same
            if minutes is not None:
                seconds = 60 * minutes
            elif tokens is None:
                seconds = None
        if not (shape_known or same or piece.stage in ("preparing", "reporting") or minutes):
            seconds = None
        before = stages[piece.stage]
        stages[piece.stage] = None if None in (before, seconds) else before + seconds  # type: ignore[operator]
    found = {stage: seconds for stage, seconds in stages.items() if seconds is not None}
    return found, _words(spec, clock, learned, [stage for stage in STAGES if stage not in found])


def _words(spec: RunSpec, clock: Clock, learned: int, unknown: Sequence[str]) -> str:
    if unknown:
        why = "" if clock.speed else ": no worker has measured this machine, and no earlier run"
        return f"the time of {', '.join(unknown)} is not known{why}"
    if spec.pretraining.budget.minutes is not None:
        return "the time of pretraining is the budget"
    if learned:
        return f"time from {learned} earlier runs of this shape"
    if clock.earlier:
        return "time from this machine's speed and from earlier runs of other shapes"
    return "time from a measurement of this machine, until a run of this shape has finished"


def _pieces(spec: RunSpec, tokens: int, teacher: dict[str, Any] | None) -> list[Piece]:
    """The pieces of a run; of one whose shape is not told, as if it were a small one's."""
    types = _vocabulary(spec, teacher) or _TYPES
    length = spec.pretraining.sequence_length
    told = spec.model.architecture and spec.model.size
    own = (str(spec.model.architecture), str(spec.model.size)) if told else _SHAPE
    asked = _shape(teacher) or own
    return pieces(spec, tokens, Model.of(*own, types, length), Model.of(*asked, types, length))


def _finished(run: Earlier) -> Finished | None:
    """What an earlier run took; None of a spec that this version does not understand."""
    try:
        spec = RunSpec.parse(run.spec)
    except EntromaskError:
        return None
    tokens, cost = run.cost.get("tokens"), run.cost
    seconds: dict[tuple[str, str], float] = {}
    speed = cost.get("tokens_per_second")
    if tokens and speed:
        seconds["pretraining", ""] = tokens / speed
    scoring = cost.get("scoring_seconds") or 0.0
    if scoring > 1:  # else it was read from the cache
        seconds["scoring", ""] = scoring
    for (kind, name), took in run.jobs.items():
        if kind == "cell":
            stage = "floors" if name.endswith("-floor") else "evaluating"
            if stage == "evaluating":
                seconds[stage, name] = took
        elif kind == "report":
            seconds["reporting", ""] = took
    return Finished(_pieces(spec, tokens or 0, None), cost.get("device"), seconds)


def _tokens(
    spec: RunSpec, data: dict[str, Any], earlier: Sequence[Earlier]
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
    speed = _tokens_per_second(data, earlier)
    if speed is None or budget.minutes is None:
        return None, "a budget of minutes gives as many tokens as the hardware trains on"
    return round(60 * budget.minutes * speed), "tokens from the budget of minutes and the speed"


def _tokens_per_second(data: dict[str, Any], earlier: Sequence[Earlier]) -> float | None:
    """The median of earlier runs of this shape."""
    speeds = [
        run.cost["tokens_per_second"]
        for run in earlier
        if run.cost.get("tokens_per_second") and _same(run.spec, data, _SAME_SPEED)
    ]
    return median(speeds) if speeds else None


def _epoch(data: dict[str, Any], earlier: Sequence[Earlier]) -> float | None:
    """The tokens of an epoch, where an earlier run had the same corpus, packed alike."""
    for run in earlier:
        epochs = run.spec["pretraining"]["budget"].get("epochs")
        if epochs and run.cost.get("tokens") and _same(run.spec, data, _SAME_ROWS):
            return float(run.cost["tokens"]) / float(epochs)
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

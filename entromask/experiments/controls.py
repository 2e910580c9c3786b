"""The runs beside the methods, without which a difference says little (docs/experiments.md)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from entromask.estimates import Compute, pretraining_flops
from entromask.experiments.cells import Cell
from entromask.parts.data import TrainedTokenizer
from entromask.parts.training import Budget
from entromask.spec import RunSpec

# The types that the trained tokenizer of a spec really has; None where no run has shown it yet. A
# small corpus gives fewer than tokenizer.vocab_size asks for.
Vocabulary = Callable[[RunSpec], int | None]
# Two costs that differ by less count as one, as in `entromask.analysis.cautions`.
MATCHED = 1.05
# Any number of tokens: floating-point operations are proportional to them.
_TOKENS = 1e6
_COUNTED = ("steps", "epochs", "tokens")


def no_pretraining(baseline: Cell, several: bool) -> Cell:
    """The baseline's model with random weights."""
    more = {
        "pretraining.budget.steps": 0,
        "masking": {"preset": "random"},
        "distillation": None,
        "teacher": None,
        "model.init": "scratch",
        # It is that floor itself.
        "evaluation.floor": False,
    }
    return _control("no-pretraining", "no pretraining", baseline, several, more)


def frequency(baseline: Cell, spec: RunSpec, several: bool) -> Cell:
    """The baseline with masks by corpus frequency, at its rate."""
    rate = spec.masking.resolved().rate
    masking: dict[str, Any] = {"preset": "frequency"}
    if rate != 0.15:
        masking["rate"] = rate if isinstance(rate, float) else spec.masking.model_dump()["rate"]
    return _control("frequency", "frequency", baseline, several, {"masking": masking})


def equal_compute(baseline: Cell, spec: RunSpec, ratio: float, several: bool) -> Cell | None:
    """The baseline with `ratio` times its budget; None where that is a budget of time."""
    budget = _times(spec.pretraining.budget, ratio)
    if budget is None:
        return None
    label = f"{baseline.label}, {ratio:.2f} x budget"
    cell = _control("equal-compute", label, baseline, several, {"pretraining.budget": budget})
    return replace(cell, key=f"{cell.key}-{ratio:.2f}", label=label)


def _control(
    key: str, label: str, baseline: Cell, several: bool, settings: Mapping[str, Any]
) -> Cell:
    """A control of a baseline; where there are several, it carries that one's name."""
    if several:
        key, label = f"{key}-{baseline.key}", f"{label} ({baseline.label})"
    kept = {
        name: value
        for name, value in baseline.settings.items()
        if not any(name == other or name.startswith(f"{other}.") for other in settings)
    }
    return Cell(key, label, "control", {**kept, **settings}, baseline=baseline.key)


def _times(budget: Budget, ratio: float) -> dict[str, Any] | None:
    for name in _COUNTED:
        value = getattr(budget, name)
        if value is not None:
            return {name: value * ratio if name == "epochs" else max(1, round(value * ratio))}
    return None


def relative_compute(
    spec: RunSpec, baseline: RunSpec, teacher: RunSpec | None, vocabulary: Vocabulary
) -> float | None:
    """How many times the baseline's floating-point operations a pretraining takes.

    Passes of the teacher that a step makes are counted; a store that it fills once is not. None
    where a shape is in no spec, or where the budgets are not of one kind.

    Args:
        spec, baseline: resolved.
        teacher: the teacher's spec, where the run has one that is known.
        vocabulary: see `Vocabulary`.
    """
    tokens = _relative_tokens(spec, baseline)
    own, home = _compute(spec, vocabulary), _compute(baseline, vocabulary)
    if tokens is None or own is None or home is None:
        return None
    asked = _compute(teacher, vocabulary) if teacher is not None else own
    if asked is None:
        return None
    flops = pretraining_flops(spec.masking, spec.distillation, own, asked, tokens * _TOKENS)
    return flops / pretraining_flops(baseline.masking, None, home, home, _TOKENS)


def _relative_tokens(spec: RunSpec, baseline: RunSpec) -> float | None:
    mine, theirs = spec.pretraining, baseline.pretraining
    for name in _COUNTED:
        one, other = getattr(mine.budget, name), getattr(theirs.budget, name)
        if one is None or not other:
            continue
        step = float(mine.batch_size * mine.sequence_length)
        size = step / (theirs.batch_size * theirs.sequence_length) if name == "steps" else 1.0
        return float(one) / float(other) * size
    return None


def _compute(spec: RunSpec, vocabulary: Vocabulary) -> Compute | None:
    model, tokenizer = spec.model, spec.tokenizer
    if not isinstance(tokenizer, TrainedTokenizer) or not (model.architecture and model.size):
        return None
    length = spec.pretraining.sequence_length
    types = vocabulary(spec) or tokenizer.vocab_size
    return Compute.of(model.architecture, model.size, types, length)


def levels(ratios: Mapping[str, float]) -> list[tuple[float, list[str]]]:
    """Costs that are alike, put together: (their geometric mean, the keys), ascending.

    What is within 5 % of the baseline, 1, needs no control of its own.
    """
    apart = sorted(
        (ratio, key) for key, ratio in ratios.items() if abs(math.log(ratio)) > math.log(MATCHED)
    )
    groups: list[list[tuple[float, str]]] = []
    for ratio, key in apart:
        if groups and ratio <= groups[-1][0][0] * MATCHED:
            groups[-1].append((ratio, key))
        else:
            groups.append([(ratio, key)])
    return [(_geometric_mean([r for r, _ in group]), [key for _, key in group]) for group in groups]


def _geometric_mean(numbers: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, numbers)) / len(numbers))

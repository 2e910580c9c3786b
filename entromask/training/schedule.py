"""How long a run trains, and the learning rate on the way."""

from __future__ import annotations

import math
from dataclasses import dataclass

from entromask.spec import Pretraining


@dataclass(frozen=True)
class Schedule:
    """A budget and a learning rate that warms up and decays linearly over it.

    `total_steps` is None for a budget in minutes, where time stands in for steps.
    """

    learning_rate: float
    warmup: float
    total_steps: int | None
    minutes: float | None = None

    @classmethod
    def of(cls, pretraining: Pretraining, rows: int) -> Schedule:
        """The schedule for a corpus of `rows` rows."""
        budget = pretraining.budget
        steps = budget.steps
        if budget.epochs is not None:
            steps = max(1, round(budget.epochs * (rows // pretraining.batch_size)))
        if budget.tokens is not None:
            steps = math.ceil(
                budget.tokens / (pretraining.batch_size * pretraining.sequence_length)
            )
        return cls(pretraining.learning_rate, pretraining.warmup, steps, budget.minutes)

    def fraction(self, step: int, seconds: float) -> float:
        """Share of the budget spent after `step` steps and `seconds` of training, at most 1."""
        if self.total_steps is not None:
            return min(1.0, step / self.total_steps) if self.total_steps else 1.0
        return min(1.0, seconds / (60 * (self.minutes or 1)))

    def rate(self, step: int, seconds: float) -> float:
        """The learning rate of the step that follows; it is never 0."""
        spent = self.fraction(step, seconds)
        one = 1 / self.total_steps if self.total_steps else 0.001
        if spent < self.warmup:
            return self.learning_rate * min(1.0, (spent + one) / self.warmup)
        return self.learning_rate * max(one, 1 - spent) / max(one, 1 - self.warmup)

from __future__ import annotations

import pytest

from entromask.spec import RunSpec
from entromask.training.schedule import Schedule


def _schedule(budget: dict[str, float], rows: int = 1000, **parts: object) -> Schedule:
    data = {"budget": budget, "batch_size": 10, "sequence_length": 16, **parts}
    return Schedule.of(RunSpec.parse({"pretraining": data}).pretraining, rows)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [({"steps": 7}, 7), ({"epochs": 2}, 200), ({"epochs": 0.5}, 50), ({"tokens": 1601}, 11)],
)
def test_every_budget_becomes_steps(budget: dict[str, float], steps: int) -> None:
    assert _schedule(budget).total_steps == steps


def test_rate_warms_up_to_the_peak_and_decays_to_almost_nothing() -> None:
    schedule = _schedule({"steps": 100}, learning_rate=1.0, warmup=0.1)
    rates = [schedule.rate(step, 0.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates.index(max(rates)) in (9, 10)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_rate_without_warm_up_starts_at_the_peak() -> None:
    assert _schedule({"steps": 10}, learning_rate=0.5, warmup=0.0).rate(0, 0.0) == 0.5


def test_no_steps_are_over_before_the_first() -> None:
    assert _schedule({"steps": 0}).fraction(0, 0.0) == 1.0


def test_minutes_let_time_stand_in_for_steps() -> None:
    schedule = _schedule({"minutes": 2})
    assert schedule.total_steps is None
    assert schedule.fraction(10**6, 60.0) == 0.5
    assert schedule.fraction(0, 121.0) == 1.0

import math

import pytest

from entromask.masking.rates import rate_at
from entromask.spec import RateSchedule


@pytest.mark.parametrize(
    ("schedule", "cycles", "expected"),
    [
        # At 0, 1/8, 1/4, 1/2, 3/4 and 1 of the run.
        ("linear", 4, [0.3, 0.28125, 0.2625, 0.225, 0.1875, 0.15]),
        (
            "cosine",
            4,
            [0.225 + 0.075 * math.cos(math.pi * p) for p in (0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)],
        ),
        ("cyclic", 1, [0.3, 0.225 + 0.075 * 0.5**0.5, 0.225, 0.15, 0.225, 0.3]),
        ("cyclic", 4, [0.3, 0.15, 0.3, 0.3, 0.3, 0.3]),
    ],
)
def test_a_schedule_goes_its_way(schedule: str, cycles: int, expected: list[float]) -> None:
    rate = RateSchedule(schedule=schedule, start=0.3, end=0.15, cycles=cycles)
    found = [rate_at(rate, progress) for progress in (0, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_rate_can_rise() -> None:
    rate = RateSchedule(schedule="linear", start=0.1, end=0.5)
    assert rate_at(rate, 0.25) == pytest.approx(0.2)


def test_one_number_stays() -> None:
    assert [rate_at(0.15, progress) for progress in (0.0, 0.3, 1.0)] == [0.15] * 3


@pytest.mark.parametrize("progress", [-0.01, 1.01, math.nan, math.inf])
@pytest.mark.parametrize("rate", [0.15, RateSchedule(schedule="cosine", start=0.3, end=0.1)])
def test_a_progress_that_is_none_is_refused(rate: float | RateSchedule, progress: float) -> None:
    with pytest.raises(ValueError, match="progress must be between 0 and 1"):
        rate_at(rate, progress)

"""The measured speed of a machine: two equations, stored once for a device."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from entromask.calibration import calibrate, device_name, measure, solved
from entromask.doctor import Check, diagnose
from entromask.durations import Speed, Work, measured_speed, speed_file


@pytest.mark.parametrize("layer", [0.0, 2e-4, 5e-3])
@pytest.mark.parametrize("flops", [1e9, 3e10, 1e14])
def test_the_speed_explains_both_measurements(layer: float, flops: float) -> None:
    small, large = Work(9, 1.5e9), Work(15, 1.2e10)
    first, second = (work.layers * layer + work.flops / flops for work in (small, large))
    found = solved(small, first, large, second)
    assert found.layer_seconds == pytest.approx(layer, abs=1e-9)
    assert found.flops_per_second == pytest.approx(flops, rel=1e-6)


@pytest.mark.parametrize("seconds", [(1.0, 0.5), (0.1, 9.0)])
def test_noise_gives_no_negative_speed(seconds: tuple[float, float]) -> None:
    found = solved(Work(9, 1.5e9), seconds[0], Work(15, 1.2e10), seconds[1])
    assert found.layer_seconds >= 0
    assert found.flops_per_second > 0


@pytest.mark.slow
def test_a_machine_is_measured_once_and_again_where_the_file_is_damaged(
    home: Path,
) -> None:
    assert measured_speed() is None
    found = calibrate()
    assert found.device == device_name()
    file = speed_file(found.device)
    written = file.stat().st_mtime_ns
    assert calibrate() == found == measured_speed()
    assert file.stat().st_mtime_ns == written
    file.write_text(json.dumps(found.data() | {"flops_per_second": 0}))
    assert measured_speed() is None
    assert calibrate().flops_per_second > 0


def test_the_doctor_tells_the_speed_or_how_to_measure_it(
    home: Path,
) -> None:
    def check() -> Check:
        return next(one for one in diagnose() if one.name == "Training speed")

    assert check().status == "note"
    assert "entromask.calibration" in check().advice
    file = speed_file("a processor, 2 threads")
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(Speed("a processor, 2 threads", 2e-3, 3e10).data()))
    words = "30 GFLOP/s and 2 ms a layer, measured on a processor, 2 threads"
    assert check().found == words


def test_measuring_leaves_the_random_state_as_it_is() -> None:
    import torch

    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    assert isinstance(measure(), Speed)
    assert torch.equal(torch.rand(4), expected)

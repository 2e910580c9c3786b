"""The tables of presets, sizes and protocols are whole and fit the spec."""

from __future__ import annotations

import pytest

from entromask.errors import InputError
from entromask.presets import MASKING_PRESETS, PROTOCOLS, SIZES
from entromask.spec import RunSpec

TEACHER = {"path": "teacher"}
AVAILABLE = [name for name, preset in MASKING_PRESETS.items() if preset.available]
LATER = [name for name, preset in MASKING_PRESETS.items() if not preset.available]


def spec(preset: str) -> RunSpec:
    return RunSpec.parse({"masking": {"preset": preset}, "teacher": TEACHER})


@pytest.mark.parametrize("preset", AVAILABLE)
def test_an_available_preset_resolves_with_every_part(preset: str) -> None:
    masking = spec(preset).resolved().masking
    assert masking.preset == preset
    for part in ("score", "select", "temperature", "unit", "rate", "corruption", "warmup"):
        assert getattr(masking, part) is not None
    if masking.score == "entropy":
        assert masking.source is not None
        assert masking.view is not None
        assert masking.refresh is not None


@pytest.mark.parametrize("preset", LATER)
def test_a_later_preset_is_refused_and_says_that_it_is_not_there_yet(preset: str) -> None:
    with pytest.raises(InputError, match="not available yet"):
        spec(preset).resolved()


def test_the_strategies_of_the_method_are_there() -> None:
    selections = ("high", "low", "middle", "ends", "sample")
    families = ("teacher-entropy", "teacher-masked-entropy", "self-entropy")
    names = {f"{family}-{selection}" for family in families for selection in selections}
    assert names | {"random", "frequency"} == set(AVAILABLE)


def test_two_presets_never_resolve_to_the_same_masking() -> None:
    seen: dict[str, str] = {}
    for preset in AVAILABLE:
        parts = spec(preset).resolved().masking.model_dump(exclude={"preset"})
        assert repr(parts) not in seen, (preset, seen.get(repr(parts)))
        seen[repr(parts)] = preset


@pytest.mark.parametrize("preset", [name for name in AVAILABLE if name.startswith("self-")])
def test_self_masking_waits_until_the_plateau_is_left(preset: str) -> None:
    assert spec(preset).resolved().masking.warmup == "plateau"


def test_a_part_beside_a_preset_overrides_it() -> None:
    masking = (
        RunSpec.parse({"masking": {"preset": "self-entropy-sample", "rate": 0.4, "warmup": 0.1}})
        .resolved()
        .masking
    )
    assert (masking.rate, masking.warmup, masking.select) == (0.4, 0.1, "sample")


def test_every_preset_says_what_it_does() -> None:
    assert all(len(preset.description) > 5 for preset in MASKING_PRESETS.values())


def test_hard_selections_say_what_to_expect() -> None:
    hard = [name for name in AVAILABLE if name.endswith(("high", "low", "middle", "ends"))]
    assert len(hard) == 12
    assert all("repeated masks" in MASKING_PRESETS[name].description for name in hard)


@pytest.mark.parametrize("size", SIZES)
def test_the_heads_of_a_size_divide_its_width(size: str) -> None:
    assert SIZES[size].width % SIZES[size].heads == 0


def test_the_default_protocol_exists() -> None:
    assert RunSpec().evaluation.protocol in PROTOCOLS

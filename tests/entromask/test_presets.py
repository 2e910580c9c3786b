"""The tables of presets, sizes and protocols are whole and fit the spec."""

from __future__ import annotations

import pytest

from entromask.presets import MASKING_PRESETS, PROTOCOLS, SIZES
from entromask.spec import RunSpec

TEACHER = {"path": "teacher"}


def spec(preset: str) -> RunSpec:
    return RunSpec.parse({"masking": {"preset": preset}, "teacher": TEACHER})


@pytest.mark.parametrize("preset", MASKING_PRESETS)
def test_a_preset_resolves_with_every_part(preset: str) -> None:
    masking = spec(preset).resolved().masking
    assert masking.preset == preset
    for part in ("score", "select", "temperature", "unit", "rate", "corruption", "warmup"):
        assert getattr(masking, part) is not None
    if masking.score == "entropy":
        assert masking.source is not None
        assert masking.view is not None
        assert masking.refresh is not None


def test_the_strategies_of_the_method_are_there() -> None:
    selections = ("high", "low", "middle", "ends", "sample")
    families = ("teacher-entropy", "teacher-masked-entropy", "self-entropy", "self-masked-entropy")
    names = {f"{family}-{selection}" for family in families for selection in selections}
    neighbours = {"whole-word", "span", "pmi", "frequency", "amlm", "rate-decay", "time-variant"}
    assert names | neighbours | {"random"} == set(MASKING_PRESETS)


def test_two_presets_never_resolve_to_the_same_masking() -> None:
    seen: dict[str, str] = {}
    for preset in MASKING_PRESETS:
        parts = spec(preset).resolved().masking.model_dump(exclude={"preset"})
        assert repr(parts) not in seen, (preset, seen.get(repr(parts)))
        seen[repr(parts)] = preset


@pytest.mark.parametrize("preset", [n for n in MASKING_PRESETS if n.startswith("self-")])
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
    endings = ("high", "low", "middle", "ends")
    hard = [name for name in MASKING_PRESETS if name.endswith(endings)]
    assert len(hard) == 16
    assert all("repeated masks" in MASKING_PRESETS[name].description for name in hard)


@pytest.mark.parametrize("size", SIZES)
def test_the_heads_of_a_size_divide_its_width(size: str) -> None:
    assert SIZES[size].width % SIZES[size].heads == 0


def test_the_default_protocol_exists() -> None:
    assert RunSpec().evaluation.protocol in PROTOCOLS

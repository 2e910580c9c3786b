"""Warnings in words: each finding is warned about, with its numbers, and a good run is not."""

from __future__ import annotations

from typing import Any

import pytest

from entromask.analysis import warnings_for
from tests.entromask.analysis import build


def found(results: dict[str, Any] | None = None, **spec: Any) -> str:
    return "\n".join(warnings_for(build.results(**(results or {})), build.spec(**spec)))


def test_a_sound_run_has_no_warning() -> None:
    assert found() == ""


def test_results_without_diagnostics_raise_no_warning() -> None:
    assert warnings_for({}, build.spec()) == []


@pytest.mark.parametrize(
    ("results", "evidence"),
    [
        ({"plateau_exit_step": None, "loss": 6.5, "loss_bias_refit": 6.5}, "6.50 against 6.71"),
        ({"mask_repeat_rate": 0.98}, "98%"),
        ({"mask_repeat_rate": 0.45, "position_coverage": 0.2}, "only 20%"),
        ({"frequent_type_share": 0.08}, "only 8%"),
        ({"distinct_type_share": 0.1}, "only 10%"),
        ({"loss": 6.877, "loss_bias_refit": 6.12}, "6.88 to 6.12"),
        ({"collapsed_tasks": ["rte", "cola"]}, "rte, cola"),
    ],
)
def test_each_diagnostic_is_warned_about_with_its_numbers(
    results: dict[str, Any], evidence: str
) -> None:
    spec = build.spec(masking={"preset": "frequency"})
    warnings = warnings_for(build.results(**results), spec)
    assert len(warnings) == 1
    assert evidence in warnings[0]


@pytest.mark.parametrize(
    "results",
    [
        {"mask_repeat_rate": 0.33},
        {"mask_repeat_rate": None, "position_coverage": 0.15},
        {"frequent_type_share": 0.30},
        {"loss": 4.945, "loss_bias_refit": 4.950},
    ],
)
def test_what_sampling_does_is_no_reason_to_warn(results: dict[str, Any]) -> None:
    assert found(results) == ""


def test_random_masks_of_a_short_run_are_not_called_concentrated() -> None:
    short = {"distinct_type_share": 0.1, "frequent_type_share": 0.1, "loss_bias_refit": 4.0}
    assert found(short) == ""


@pytest.mark.parametrize(("architecture", "advised"), [("bert", True), ("modernbert", False)])
def test_another_architecture_is_advised_where_there_is_a_better_one(
    architecture: str, advised: bool
) -> None:
    words = found({"plateau_exit_step": None}, model={"architecture": architecture})
    assert ("modernbert" in words) is advised


def test_random_weights_that_were_asked_for_are_no_failure_to_leave_the_plateau() -> None:
    on_it = {"plateau_exit_step": None}
    assert found(on_it, pretraining={"budget": {"steps": 0}}) == ""
    assert "plateau" in found(on_it, pretraining={"budget": {"steps": 1}})


def test_a_high_masking_rate_repeats_masks_without_a_warning() -> None:
    assert found({"mask_repeat_rate": 0.6}, masking={"rate": 0.6}) == ""
    assert "60%" in found({"mask_repeat_rate": 0.6})


def test_a_rate_that_falls_is_judged_by_its_mean() -> None:
    falling = {"preset": "rate-decay", "rate": {"schedule": "linear", "start": 0.7, "end": 0.5}}
    assert found({"mask_repeat_rate": 0.6}, masking=falling) == ""
    assert "about 60%" in found({"mask_repeat_rate": 0.9}, masking=falling)


def test_a_selection_that_collapsed_is_named_with_its_types() -> None:
    results = build.results()
    results["diagnostics"] |= {
        "collapse_step": 300,
        "collapse_type_ratio": 0.03,
        "effective_type_ratio": 0.08,
        "top_masked_types": {",": 0.4, "the": 0.3},
    }
    (warning,) = warnings_for(results, build.spec(masking={"preset": "frequency"}))
    assert "collapsed at step 300" in warning
    assert "effectively 3% as many" in warning
    assert "8% over the run" in warning
    assert "',', 'the'" in warning
    assert "explore" in warning


@pytest.mark.parametrize(("agreement", "warned"), [(0.20, True), (0.40, False)])
def test_stored_scores_no_better_than_chance_are_warned_about(
    agreement: float, warned: bool
) -> None:
    results = build.results()
    looks = [
        {"step": 100, "cache_agreement": 0.9, "cache_agreement_uniform": 0.1},
        {"step": 200, "cache_agreement": agreement, "cache_agreement_uniform": 0.15},
    ]
    results["diagnostics"]["cache_agreement"] = looks
    words = "".join(
        warnings_for(results, build.spec(masking={"preset": "self-masked-entropy-sample"}))
    )
    assert ("20% of the positions" in words and "15% would be by chance" in words) is warned


@pytest.mark.parametrize(
    ("share", "preset", "words"),
    [
        (0.25, "self-entropy-high", "25% of the selection by top was decided by chance"),
        (0.05, "self-entropy-high", ""),
        (None, "self-entropy-sample", ""),
    ],
)
def test_a_selection_that_ties_decide_is_warned_about(
    share: float | None, preset: str, words: str
) -> None:
    results = build.results()
    results["diagnostics"]["tied_share"] = share
    for refresh, why in (("cached", "256 levels"), ("fresh", "of one token type")):
        spec = build.spec(masking={"preset": preset, "refresh": refresh})
        ties = [one for one in warnings_for(results, spec) if "equal scores" in one]
        assert len(ties) == bool(words)
        assert all(words in one and why in one for one in ties)


def test_self_masking_that_never_began_is_called_random() -> None:
    masking = {"preset": "self-entropy-sample"}
    assert "masks were random" in found({"plateau_exit_step": None}, masking=masking)
    assert "masks were random" not in found(masking=masking)


def test_masks_of_a_strategy_that_never_began_are_not_judged() -> None:
    never = {
        "plateau_exit_step": None,
        "strategy_start_step": None,
        "distinct_type_share": 0.0,
        "frequent_type_share": 0.0,
    }
    words = found(never, masking={"preset": "self-entropy-sample"})
    assert "0%" not in words
    assert "masks were random" in words


def test_visible_entropy_is_compared_with_frequency() -> None:
    teacher = {"path": "teacher"}
    visible = found(masking={"preset": "teacher-entropy-sample"}, teacher=teacher)
    assert "frequencies" in visible
    masked = found(masking={"preset": "teacher-masked-entropy-sample"}, teacher=teacher)
    assert masked == ""


@pytest.mark.parametrize("preset", ["random", "frequency", "self-entropy-sample"])
def test_a_teacher_that_is_never_asked_is_named(preset: str) -> None:
    masking = {"preset": preset, "view": "visible"} if "self" in preset else {"preset": preset}
    words = found(masking=masking, teacher={"path": "some/teacher"})
    assert "the teacher (path some/teacher) is never asked" in words
    assert preset in words
    assert "never asked" not in found(masking=masking)


@pytest.mark.parametrize(("levels", "warned"), [(1, True), (3, True), (4, False), (60, False)])
def test_a_teacher_that_scores_everything_alike_is_warned_about(levels: int, warned: bool) -> None:
    results = build.results()
    results["diagnostics"]["teacher_score_levels"] = levels
    spec = build.spec(
        masking={"preset": "teacher-masked-entropy-sample"}, teacher={"path": "teacher"}
    )
    words = "".join(warnings_for(results, spec))
    assert (f"90% of them lie on {levels} of 256 levels" in words) is warned
    assert (words == "") is not warned


def test_the_masked_view_is_advised_where_a_teacher_that_sees_all_scores_alike() -> None:
    results = build.results()
    results["diagnostics"]["teacher_score_levels"] = 1
    spec = build.spec(masking={"preset": "teacher-entropy-sample"}, teacher={"path": "teacher"})
    assert "or view: masked" in "".join(warnings_for(results, spec))


def test_a_budget_in_minutes_is_not_reproducible() -> None:
    assert "minutes" in found(pretraining={"budget": {"minutes": 5}})


@pytest.mark.parametrize(("tasks", "warned"), [(["rte"], True), (["blimp"], False), ([], False)])
def test_one_fine_tuning_seed_is_warned_about_where_tasks_are_fine_tuned(
    tasks: list[str], warned: bool
) -> None:
    warnings = found(evaluation={"tasks": tasks, "seeds": [0]})
    assert ("error bar" in warnings) is warned

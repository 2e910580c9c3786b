from __future__ import annotations

from typing import Any

import pytest

from entromask.analysis.report.masking_words import method_words
from tests.entromask.analysis import build

_DISTILLED = {"teacher": {"hub": "teacher"}, "masking": {"preset": "random"}}


def words(**parts: Any) -> str:
    return method_words(build.spec(**parts))


@pytest.mark.parametrize(
    ("distillation", "said"),
    [
        ({}, "at the masked positions (weight 0.5, temperature 2)"),
        (
            {"positions": "all", "top_k": 8},
            "at all positions (weight 0.5, temperature 2, its 8 highest probabilities and the "
            "sum of the others)",
        ),
        (
            {"refresh": "cached"},
            "at the masked positions (weight 0.5, temperature 2, its 16 highest probabilities and "
            "the sum of the others, predicted once for each position of the corpus)",
        ),
    ],
)
def test_a_distillation_is_told_from_its_variants(distillation: dict[str, Any], said: str) -> None:
    assert words(**_DISTILLED, distillation=distillation) == (
        f"tokens drawn uniformly, with distillation from the teacher {said}"
    )


def test_stored_scores_of_the_model_itself_are_told_from_fresh_ones() -> None:
    fresh, stored = (
        words(masking={"preset": "self-entropy-sample", "refresh": refresh})
        for refresh in ("fresh", "cached")
    )
    assert "with the token visible at temperature 3" in fresh
    assert "with the token visible (as last stored) at temperature 3" in stored


def test_parts_are_joined_by_one_comma_each() -> None:
    assert words(masking={"preset": "self-masked-entropy-high"}) == (
        "tokens with the highest predictive entropy under the model in training with the token "
        "masked (as last stored), after uniform masks until the unigram plateau was left"
    )

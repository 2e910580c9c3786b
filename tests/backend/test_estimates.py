"""What a run will cost, told from its budget and from earlier runs."""

from __future__ import annotations

from typing import Any

from backend.estimates import Earlier, estimate
from entromask.resources import Estimate
from entromask.spec import RunSpec


def of(spec: dict[str, Any], *earlier: Earlier) -> Estimate:
    return estimate(RunSpec.parse(spec).resolved(), earlier)


def earlier(spec: dict[str, Any], tokens: int, speed: float) -> Earlier:
    cost = {"tokens": tokens, "tokens_per_second": speed}
    return RunSpec.parse(spec).resolved().data(), cost


def budget(**given: Any) -> dict[str, Any]:
    return {"pretraining": {"budget": given}}


def test_tokens_follow_from_steps_and_steps_from_tokens() -> None:
    assert of(budget(steps=10)).tokens == 10 * 64 * 128
    assert of(budget(tokens=8193)).steps == 2
    assert of(budget(tokens=8193)).tokens == 2 * 64 * 128


def test_seconds_come_from_runs_of_the_same_shape_alone() -> None:
    runs = [
        earlier({}, 1, 1000.0),
        earlier({}, 1, 3000.0),
        earlier({}, 1, 2000.0),
        earlier({"model": {"size": "base"}}, 1, 1.0),
        earlier({"masking": {"preset": "self-entropy-sample"}}, 1, 1.0),
    ]
    found = of(budget(steps=10), *runs)
    assert found.seconds == 10 * 64 * 128 / 2000
    assert "3 earlier runs" in found.basis
    assert of(budget(steps=10), runs[3]).seconds is None


def test_an_epoch_is_known_from_an_earlier_run_on_the_same_rows() -> None:
    run = earlier(budget(epochs=2), 200_000, 100.0)
    assert of(budget(epochs=1)).tokens is None
    assert of(budget(epochs=3), run).tokens == 300_000
    other = budget(epochs=3) | {"corpus": {"source": "builtin", "max_tokens": 5}}
    assert of(other, run).tokens is None


def test_a_budget_of_minutes_is_its_own_time() -> None:
    assert of(budget(minutes=2)).seconds == 120
    assert of(budget(minutes=2)).tokens is None
    assert of(budget(minutes=2), earlier({}, 1, 10.0)).tokens == 1200


def test_fresh_scores_of_the_model_itself_cost_more() -> None:
    plain = of(budget(steps=10)).flops
    scored = of(budget(steps=10) | {"masking": {"preset": "self-entropy-sample"}}).flops
    assert plain is not None
    assert scored is not None
    assert 1.2 * plain < scored < 2 * plain


def test_what_a_model_brings_is_unknown_and_said() -> None:
    found = of({"model": {"init": {"hub": "a/b"}}} | budget(steps=1))
    assert (found.parameters, found.flops, found.tokens) == (None, None, 64 * 128)
    assert "brings its own shape" in found.basis

"""What a run will cost, told from its budget and from earlier runs."""

from __future__ import annotations

from typing import Any

import pytest

from backend.estimates import Earlier, estimate
from entromask.estimates import Compute
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


def test_seconds_of_a_run_that_asks_its_teacher_are_not_those_of_one_that_does_not() -> None:
    teacher = budget(steps=10) | {"teacher": {"hub": "a/b"}, "tokenizer": {"source": "train"}}
    asks = teacher | {"distillation": {}}
    reads = teacher | {"distillation": {"refresh": "cached"}}
    runs = [earlier(teacher, 1, 3000.0), earlier(asks, 1, 1000.0), earlier(reads, 1, 2000.0)]
    times = [of(spec, *runs).seconds for spec in (teacher, asks, reads)]
    assert times == [10 * 64 * 128 / speed for speed in (3000, 1000, 2000)]


def test_the_rate_of_a_schedule_and_the_share_of_a_refresh_count() -> None:
    rate = {"schedule": "linear", "start": 0.4, "end": 0.2}
    scheduled = of(budget(steps=10) | {"masking": {"rate": rate}}).flops
    constant = of(budget(steps=10) | {"masking": {"rate": 0.3}}).flops
    assert scheduled == pytest.approx(constant)
    cached = {"preset": "self-entropy-sample", "refresh": "cached", "refresh_share": 0.5}
    found = of(budget(steps=10) | {"masking": cached}).flops
    plain = of(budget(steps=10)).flops
    head = Compute.of("bert", "mini", 8192, 128).head
    assert found is not None
    assert plain is not None
    assert found - plain == pytest.approx(0.5 * head * 10 * 64 * 128)


ASKING = [
    {"distillation": {}},
    {"masking": {"preset": "teacher-masked-entropy-sample", "refresh": "fresh"}},
]


@pytest.mark.parametrize("asks", ASKING, ids=str)
def test_a_teacher_that_each_step_asks_counts_by_its_run_or_by_this_runs_shape(
    asks: dict[str, Any],
) -> None:
    spec = budget(steps=10) | {"teacher": {"run": "run_1"}, "tokenizer": tokenizer("run_1")} | asks
    own, large = (
        estimate(RunSpec.parse(spec).resolved(), [], a_teacher(size)) for size in ("mini", "base")
    )
    assert own.flops is not None
    assert large.flops is not None
    assert large.flops > 2 * own.flops
    assert large.parameters == own.parameters
    assert "this run's shape" not in large.basis
    unknown = of(spec | {"teacher": {"hub": "a/b"}, "tokenizer": {"source": "train"}})
    assert unknown.flops == own.flops
    assert "the teacher's passes are counted as those of a model of this run's shape" in (
        unknown.basis
    )


def test_the_vocabulary_is_that_of_the_teachers_run_where_its_tokenizer_is_used() -> None:
    spec = budget(steps=10) | {"teacher": {"run": "run_1"}}
    taken = estimate(
        RunSpec.parse(spec | {"tokenizer": tokenizer("run_1")}).resolved(), [], a_teacher("mini")
    )
    assert "for a vocabulary of 8,192 types" in taken.basis
    other = estimate(
        RunSpec.parse(spec | {"tokenizer": tokenizer("run_2")}).resolved(), [], a_teacher("mini")
    )
    assert (other.parameters, other.flops) == (None, None)
    assert "not looked into" in other.basis


def tokenizer(run: str) -> dict[str, Any]:
    return {"source": "local", "path": f"/home/runs/{run}/model"}


def a_teacher(size: str) -> dict[str, Any]:
    return RunSpec.parse({"model": {"size": size}}).resolved().data()


def test_what_a_model_brings_is_unknown_and_said() -> None:
    found = of({"model": {"init": {"hub": "a/b"}}} | budget(steps=1))
    assert (found.parameters, found.flops, found.tokens) == (None, None, 64 * 128)
    assert "brings its own shape" in found.basis

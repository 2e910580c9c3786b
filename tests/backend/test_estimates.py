"""What a run will cost, told from its budget and from earlier runs."""

from __future__ import annotations

from typing import Any

import pytest

from backend.estimates import Clock, estimate, shared_by
from backend.store.history import Earlier
from entromask.durations import Speed
from entromask.estimates import Compute
from entromask.presets import PROTOCOLS
from entromask.resources import Estimate
from entromask.spec import RunSpec


def of(spec: dict[str, Any], *earlier: Earlier) -> Estimate:
    return estimate(RunSpec.parse(spec).resolved(), Clock(earlier))


def earlier(spec: dict[str, Any], tokens: int, speed: float) -> Earlier:
    cost = {"tokens": tokens, "tokens_per_second": speed}
    return Earlier(RunSpec.parse(spec).resolved().data(), cost)


def budget(**given: Any) -> dict[str, Any]:
    return {"pretraining": {"budget": given}}


def test_tokens_follow_from_steps_and_steps_from_tokens() -> None:
    assert of(budget(steps=10)).tokens == 10 * 64 * 128
    assert of(budget(tokens=8193)).steps == 2
    assert of(budget(tokens=8193)).tokens == 2 * 64 * 128


def test_seconds_come_from_runs_of_the_same_shape_where_there_are_any() -> None:
    runs = [
        earlier({}, 1, 1000.0),
        earlier({}, 1, 3000.0),
        earlier({}, 1, 2000.0),
        earlier({"model": {"size": "base"}}, 1, 1.0),
        earlier({"masking": {"preset": "self-entropy-sample"}}, 1, 1.0),
    ]
    found = of(budget(steps=10), *runs)
    assert found.stages["pretraining"] == pytest.approx(10 * 64 * 128 / 2000)
    assert "3 earlier runs" in found.basis
    assert of(budget(steps=10)).seconds is None
    assert "pretraining" not in of(budget(steps=10)).stages


def test_an_epoch_is_known_from_an_earlier_run_on_the_same_rows() -> None:
    run = earlier(budget(epochs=2), 200_000, 100.0)
    assert of(budget(epochs=1)).tokens is None
    assert of(budget(epochs=3), run).tokens == 300_000
    other = budget(epochs=3) | {"corpus": {"source": "builtin", "max_tokens": 5}}
    assert of(other, run).tokens is None


def test_a_budget_of_minutes_is_its_own_time() -> None:
    assert of(budget(minutes=2)).stages["pretraining"] == 120
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
    times = [of(spec, *runs).stages["pretraining"] for spec in (teacher, asks, reads)]
    assert times == pytest.approx([10 * 64 * 128 / speed for speed in (3000, 1000, 2000)])


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
        estimate(RunSpec.parse(spec).resolved(), Clock(), a_teacher(size))
        for size in ("mini", "base")
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
        RunSpec.parse(spec | {"tokenizer": tokenizer("run_1")}).resolved(),
        Clock(),
        a_teacher("mini"),
    )
    assert "for a vocabulary of 8,192 types" in taken.basis
    other = estimate(
        RunSpec.parse(spec | {"tokenizer": tokenizer("run_2")}).resolved(),
        Clock(),
        a_teacher("mini"),
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


# In a second 1e9 FLOPs; a pass through a layer takes a millisecond.
SPEED = Speed("a processor", 1e-3, 1e9)


def timed(spec: dict[str, Any], *earlier: Earlier, speed: Speed | None = SPEED) -> Estimate:
    return estimate(RunSpec.parse(spec).resolved(), Clock(earlier, speed))


TASKS = {"tasks": ["demo-order"], "seeds": [0, 1], "floor": False}


def test_the_first_estimate_rests_on_the_measured_machine() -> None:
    found = timed(budget(steps=10) | {"evaluation": TASKS})
    assert "a measurement of this machine" in found.basis
    assert found.seconds == pytest.approx(sum(found.stages.values()))
    # bert mini: 4 layers and the head; forward and backward pass are three.
    compute = Compute.of("bert", "mini", 8192, 128)
    tokens = 10 * 64 * 128
    steps = 10 * 3 * 5 * 1e-3 + compute.training(tokens, 0.15 * tokens) / 1e9
    validation = 256 * 128 * (compute.encoder + 0.15 * compute.head) / 1e9 + 4 * 5 * 1e-3
    # Ten steps are 10 / 250 of a check, five times as many on the plateau, and 10 / 500 saved.
    assert found.stages["pretraining"] == pytest.approx(steps + (5 / 25 + 1 / 50) * validation)


def test_fine_tuning_counts_for_each_task_and_seed_by_the_protocols_own_steps() -> None:
    one = timed(budget(steps=10) | {"evaluation": TASKS | {"seeds": [0]}})
    two = timed(budget(steps=10) | {"evaluation": TASKS})
    assert two.stages["evaluating"] == pytest.approx(2 * one.stages["evaluating"])
    encoder = Compute.of("bert", "mini", 8192, 128).encoder
    steps = PROTOCOLS["fixed"].steps(1600)
    trained = steps * (3 * 5 * 1e-3 + 3 * 32 * 27 * encoder / 1e9)
    scored = 500 * 27 * encoder / 1e9 + 500 / 64 * 5 * 1e-3
    # And a second to start.
    assert one.stages["evaluating"] == pytest.approx(1 + trained + scored)
    real = timed(budget(steps=10) | {"evaluation": TASKS | {"tasks": ["demo-order", "rte"]}})
    assert real.stages["evaluating"] > two.stages["evaluating"] * 2


def test_floors_count_once_and_not_where_a_run_has_measured_them() -> None:
    with_floor = budget(steps=10) | {"evaluation": TASKS | {"floor": True}}
    first = timed(with_floor)
    assert first.stages["floors"] == pytest.approx(first.stages["evaluating"] - 1, rel=0.01)
    run = earlier(with_floor | {"seed": 1}, 81_920, 1000.0)
    assert timed(with_floor, run).stages["floors"] == pytest.approx(1)
    other = with_floor | {"evaluation": TASKS | {"floor": True, "seeds": [0, 1, 2]}}
    assert timed(other, run).stages["floors"] > 1
    spec = RunSpec.parse(with_floor).resolved()
    found = estimate(spec, Clock((), SPEED), done=shared_by(spec))
    assert found.stages["floors"] == pytest.approx(1)


def test_a_teachers_scores_count_where_no_run_has_stored_them() -> None:
    spec = budget(steps=10) | {
        "corpus": {"source": "builtin", "max_tokens": 100_000},
        "teacher": {"run": "run_1"},
        "tokenizer": tokenizer("run_1"),
        "masking": {"preset": "teacher-masked-entropy-sample"},
    }
    compute = Compute.of("bert", "mini", 8192, 128)

    def of_teacher(size: str, *runs: Earlier) -> float:
        resolved = RunSpec.parse(spec).resolved()
        return estimate(resolved, Clock(runs, SPEED), a_teacher(size)).stages["scoring"]

    # Each token once hidden and predicted, in seven passes over the corpus.
    flops = 7 * 100_000 * compute.encoder + 100_000 * compute.head
    passes = 7 * 100_000 / 128 / 64 * 5 * 1e-3
    assert of_teacher("mini") == pytest.approx(flops / 1e9 + passes)
    assert of_teacher("base") > 10 * of_teacher("mini")
    assert of_teacher("mini", earlier(spec, 81_920, 1000.0)) == 0
    assert timed(budget(steps=10)).stages["scoring"] == 0


def test_every_kind_of_piece_learns_from_what_it_took() -> None:
    spec = budget(steps=10) | {"evaluation": TASKS}
    before = timed(spec)
    jobs = {
        ("cell", "demo-order-seed0"): 3 * before.stages["evaluating"] / 2,
        ("cell", "demo-order-seed1"): 3 * before.stages["evaluating"] / 2,
        ("report", "report"): 4 * before.stages["reporting"],
    }
    speed = 81_920 / (2 * before.stages["pretraining"])
    run = earlier(spec, 81_920, speed)
    run = Earlier(run.spec, run.cost, jobs)
    after = timed(spec, run)
    assert after.stages["pretraining"] == pytest.approx(2 * before.stages["pretraining"])
    assert after.stages["evaluating"] == pytest.approx(3 * before.stages["evaluating"])
    assert after.stages["reporting"] == pytest.approx(4 * before.stages["reporting"])
    # Twice the steps take twice the time; another shape is corrected alike.
    longer = timed(budget(steps=20) | {"evaluation": TASKS}, run)
    assert longer.stages["pretraining"] == pytest.approx(4 * before.stages["pretraining"])
    wider = {"model": {"size": "small"}} | budget(steps=10)
    assert timed(wider, run).stages["pretraining"] == pytest.approx(
        2 * timed(wider).stages["pretraining"]
    )
    # Not by runs of another device.
    elsewhere = Earlier(run.spec, run.cost | {"device": "a GPU"}, jobs)
    assert timed(spec, elsewhere).stages["pretraining"] == before.stages["pretraining"]


def test_a_task_of_unknown_size_leaves_its_time_open() -> None:
    user = {"ner": {"path": "/data/ner", "columns": ["text"], "labels": 2}}
    given = {"tasks": ["ner"], "user_tasks": user, "seeds": [0], "floor": False}
    found = timed(budget(steps=10) | {"evaluation": given})
    assert found.seconds is None
    assert "the time of evaluating is not known" in found.basis
    assert found.stages["pretraining"] > 0


def test_runs_of_an_older_version_are_passed_over() -> None:
    broken = Earlier({"nothing": "of this version", "pretraining": {"budget": {}}}, {"tokens": 1})
    assert timed(budget(steps=10), broken).stages == timed(budget(steps=10)).stages

"""The formulas for parameters and FLOPs agree with the models and the training loop themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from entromask.estimates import Compute, mean_rate, parameters, pretraining_flops
from entromask.masking.rates import rate_at
from entromask.modeling.architectures import ARCHITECTURES, build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import Distillation, Masking, Model, RateSchedule, RunSpec
from entromask.training.cost import Cost
from entromask.training.pretraining import Pretraining, Progress
from tests.entromask.training.loops import make_loop

LENGTH = 32


class Tokenizer:
    """What a model is built by: a vocabulary and the ids of its special tokens."""

    pad_token_id, cls_token_id, sep_token_id = 0, 2, 3
    bos_token_id = eos_token_id = None

    def __len__(self) -> int:
        return 1000


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_formulas_count_what_the_model_has(architecture: Any) -> None:
    model = Model(architecture=architecture, size="tiny", dropout=0.0)
    tokenizer: Any = Tokenizer()
    built = build_model(model, tokenizer, 64, seed=0)
    assert parameters(architecture, "tiny", 1000, 64) == built.num_parameters()
    cost, found = Cost.of(SparseMaskedLM(built), 64), Compute.of(architecture, "tiny", 1000, 64)
    assert (found.encoder, found.head) == (cost.encoder, cost.head)
    assert found.forward(640, 64) == cost.forward(640, 64)
    assert found.training(640, 64) == cost.training(640, 64)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "cyclic"])
def test_the_mean_rate_is_that_of_the_schedule_over_all_steps(schedule: Any) -> None:
    rate = RateSchedule(schedule=schedule, start=0.4, end=0.1, cycles=3)
    steps = 3000
    found = sum(rate_at(rate, step / steps) for step in range(steps)) / steps
    assert mean_rate(rate) == pytest.approx(found, abs=1e-3)
    assert mean_rate(0.2) == 0.2


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Pretraining:
    return make_loop(tmp_path_factory.mktemp("estimates"), {"preset": "random"})


OWN = Compute.of("modernbert", "tiny", 400, LENGTH)
FRESH_VISIBLE = {"preset": "self-entropy-sample", "warmup": 0.0}
FRESH_MASKED = {"preset": "self-masked-entropy-sample", "refresh": "fresh", "warmup": 0.0}


@pytest.mark.parametrize(
    ("masking", "distillation"),
    [
        ({"preset": "random"}, None),
        ({"preset": "random", "rate": 0.5}, None),
        (
            {"preset": "random", "rate": {"schedule": "linear", "start": 0.8, "end": 0.2}},
            None,
        ),
        ({"preset": "frequency", "unit": "word"}, None),
        ({"preset": "amlm"}, None),
        (FRESH_VISIBLE, None),
        (FRESH_VISIBLE | {"source": "self-ema"}, None),
        (FRESH_VISIBLE | {"warmup": 0.5}, None),
        (FRESH_MASKED, None),
        ({"preset": "self-masked-entropy-sample", "warmup": 0.0}, None),
        (FRESH_VISIBLE | {"refresh": "cached", "refresh_share": 0.5}, None),
        ({"preset": "teacher-entropy-sample", "refresh": "fresh"}, None),
        ({"preset": "teacher-masked-entropy-sample", "refresh": "fresh"}, None),
        ({"preset": "random"}, {"weight": 0.5}),
        (FRESH_VISIBLE, {"top_k": 8}),
    ],
    ids=str,
)
def test_an_estimate_is_what_the_loop_counts(
    tmp_path: Path, plain: Pretraining, masking: dict[str, Any], distillation: Any
) -> None:
    parts = {"masking": masking, "distillation": distillation, "teacher": {"hub": "some/model"}}
    spec = RunSpec.parse(plain.spec.data() | parts).resolved()
    # A teacher of the student's own shape.
    teacher = SparseMaskedLM(build_model(spec.model, plain.tokenizer, LENGTH, 1))
    folder = tmp_path / "checkpoints"
    loop = replace(plain, spec=spec, teacher=teacher, folder=folder, progress=Progress())
    state = loop.run()
    tokens = state.step * spec.pretraining.batch_size * LENGTH
    found = pretraining_flops(spec.masking, spec.distillation, OWN, OWN, tokens)
    # The rate is of the maskable tokens, in whole tokens of a row: a few less.
    assert found == pytest.approx(state.flops, abs=3 * OWN.head * tokens * 0.07)


def test_what_each_step_asks_of_the_teacher_counts_by_its_own_shape() -> None:
    large, base = Compute.of("bert", "base", 400, LENGTH), Masking().resolved()
    everywhere = Distillation(positions="all")
    found = pretraining_flops(base, everywhere, OWN, large, 1000)
    assert found == OWN.training(1000, 1000) + large.forward(1000, 1000)
    fresh = Masking(preset="teacher-masked-entropy-sample", refresh="fresh").resolved()
    found = pretraining_flops(fresh, None, OWN, large, 1000)
    assert found == OWN.training(1000, 150) + large.forward(7 * 1000, 1000)


def test_what_lies_in_a_store_costs_a_step_nothing() -> None:
    random = pretraining_flops(Masking().resolved(), None, OWN, OWN, 1000)
    cached = Masking(preset="teacher-masked-entropy-sample").resolved()
    stored = Distillation(refresh="cached").resolved()
    assert pretraining_flops(cached, stored, OWN, OWN, 1000) == random

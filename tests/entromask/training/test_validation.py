from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch

from entromask.modeling.architectures import build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import RunSpec
from entromask.training.validation import CommonValidation, frequent_types
from tests.entromask.words import word_rows, word_tokenizer

TYPES = 300


@pytest.fixture
def model() -> SparseMaskedLM:
    spec = RunSpec.parse({"model": {"size": "tiny", "dropout": 0.1}}).resolved()
    return SparseMaskedLM(build_model(spec.model, word_tokenizer(TYPES), 32, 0))


@pytest.fixture
def validation() -> CommonValidation:
    train = word_rows(200, 32, TYPES, seed=1).numpy().astype(np.uint16)
    held_out = word_rows(60, 32, TYPES, seed=2).numpy().astype(np.uint16)
    counts = np.bincount(train.reshape(-1), minlength=TYPES)
    counts[:5] = 0
    return CommonValidation(train, held_out, counts, word_tokenizer(TYPES))


def _bias_only(model: SparseMaskedLM, bias: torch.Tensor) -> None:
    """Makes the model predict softmax(bias) everywhere."""
    with torch.no_grad():
        model.projection()[0].zero_()
        offset = model.projection()[1]
        assert offset is not None
        offset.copy_(bias)


def test_a_uniform_model_has_the_loss_of_its_vocabulary_and_refits_to_the_unigram_loss(
    model: SparseMaskedLM, validation: CommonValidation
) -> None:
    _bias_only(model, torch.zeros(TYPES))
    report = validation.report(model)
    assert report["loss"] == pytest.approx(np.log(TYPES), abs=1e-4)
    assert report["loss_bias_refit"] == pytest.approx(report["unigram_loss"], abs=0.02)
    assert report["unigram_loss"] < report["loss"] - 0.5


def test_a_model_with_the_right_prior_gains_nothing_from_the_refit(
    model: SparseMaskedLM, validation: CommonValidation
) -> None:
    _bias_only(model, validation._unigram)
    report = validation.report(model)
    assert report["loss"] == pytest.approx(report["unigram_loss"], abs=1e-4)
    assert report["loss_bias_refit"] == pytest.approx(report["loss"], abs=0.01)


def test_frequent_and_rest_add_up_to_the_loss(
    model: SparseMaskedLM, validation: CommonValidation
) -> None:
    report = validation.report(model)
    low, high = sorted((report["loss_frequent"], report["loss_rest"]))
    assert low < report["loss"] < high


def test_the_masks_depend_on_nothing_and_the_model_stays_in_its_mode(
    model: SparseMaskedLM, validation: CommonValidation
) -> None:
    model.train()
    torch.manual_seed(1)
    first = validation.loss(model)
    torch.manual_seed(2)
    assert validation.loss(model) == first
    assert model.training


def test_the_entropy_is_that_of_the_full_logits_at_the_masked_positions(
    model: SparseMaskedLM, validation: CommonValidation
) -> None:
    weight, bias = model.projection()
    assert bias is not None
    with torch.no_grad():  # sharp enough that every position has an entropy of its own
        weight.mul_(20)
        bias.normal_()
    inputs, labels = validation._validation
    model.eval()
    with torch.no_grad():
        logs = model.model(input_ids=inputs).logits[labels >= 0].double().log_softmax(-1)
    exact = -(logs.exp() * logs).sum(-1)
    assert exact.std() > 0.1
    measured = validation.measure(model, entropy=True)
    assert measured.loss == validation.loss(model)
    assert measured.entropy == pytest.approx(float(exact.mean()), abs=1e-5)
    highest = math.log(len(weight))
    shares = np.histogram(exact.numpy(), 20, (0, highest))[0] / len(exact)
    assert measured.highest == pytest.approx(highest)
    assert measured.histogram == pytest.approx(shares.tolist(), abs=1e-4)


def test_the_entropy_is_computed_only_where_it_is_asked_for(
    model: SparseMaskedLM, validation: CommonValidation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> torch.Tensor:
        raise AssertionError

    monkeypatch.setattr("entromask.training.validation.token_entropy", never)
    assert validation.measure(model) == (validation.loss(model), None, None, None)


def test_measuring_the_entropy_draws_no_random_numbers(
    model: SparseMaskedLM, validation: CommonValidation
) -> None:
    model.train()
    before = torch.get_rng_state()
    validation.measure(model, entropy=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


def test_frequent_types_are_the_hundred_most_counted() -> None:
    counts = np.arange(250)
    assert np.flatnonzero(frequent_types(counts)).tolist() == list(range(150, 250))
    assert frequent_types(np.array([0, 3, 0])).tolist() == [False, True, False]


def test_the_report_is_that_of_exact_arithmetic_however_many_rows(model: SparseMaskedLM) -> None:
    train = word_rows(200, 32, TYPES, seed=1).numpy().astype(np.uint16)
    held_out = word_rows(600, 32, TYPES, seed=2).numpy().astype(np.uint16)
    counts = np.bincount(train.reshape(-1), minlength=TYPES)
    validation = CommonValidation(train, held_out, counts, word_tokenizer(TYPES))
    weight, bias = model.projection()
    assert bias is not None
    with torch.no_grad():
        weight.mul_(20)
        bias.normal_()
    report = validation.report(model)
    model.double().eval()

    def logits(masked: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray[Any, Any]:
        with torch.no_grad():
            found: np.ndarray[Any, Any] = model.model(input_ids=masked[0]).logits[masked[1] >= 0]
        return found.numpy()

    held = logits(validation._validation)
    targets = validation._validation[1][validation._validation[1] >= 0].numpy()
    logs = scipy.special.log_softmax(held, axis=1)
    losses = -logs[np.arange(len(targets)), targets]
    most = sorted(range(TYPES), key=lambda i: (-counts[i], i))[:100]
    frequent = np.isin(targets, most)
    refit = logits(validation._refit)
    frequencies = (counts + 1) / (counts.sum() + TYPES)
    added, prior = np.zeros(TYPES), 1 / len(refit)
    for _ in range(10):
        mean = scipy.special.softmax(refit + added, axis=1).mean(axis=0)
        added += np.log((frequencies + prior) / (mean + prior))
    logs = scipy.special.log_softmax(held + added, axis=1)
    assert report == pytest.approx(
        {
            "loss": losses.mean(),
            "accuracy": (held.argmax(axis=1) == targets).mean(),
            "loss_bias_refit": -logs[np.arange(len(targets)), targets].mean(),
            "loss_frequent": losses[frequent].mean(),
            "loss_rest": losses[~frequent].mean(),
            "unigram_loss": -np.log(frequencies[targets]).mean(),
            "positions": len(targets),
        },
        abs=2e-4,
    )


_PEAK = """
import resource
import numpy as np
from transformers import BertConfig, BertForMaskedLM
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.training.device import keep_freed_memory
from entromask.training.validation import CommonValidation
from tests.entromask.words import word_tokenizer

keep_freed_memory()  # as in a run
types = 30_522
tokenizer = word_tokenizer(types)
rows = np.random.default_rng(0).integers(5, types, (544, 32)).astype(np.uint16)
counts = np.bincount(rows.ravel(), minlength=types)
config = BertConfig(
    vocab_size=types, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16,
)
model = SparseMaskedLM(BertForMaskedLM(config))
for held_out in (128, 512):
    CommonValidation(rows[:32], rows[32 : 32 + held_out], counts, tokenizer).report(model)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_four_times_the_rows_take_no_more_memory() -> None:
    # A process of its own, whose heap nothing else has shaped. The logits of the further 1,920
    # positions alone are 234 MB.
    done = subprocess.run(
        [sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True, timeout=600
    )
    few, many = (int(line) for line in done.stdout.split())
    assert many - few < 64

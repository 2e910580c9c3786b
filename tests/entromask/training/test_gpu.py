"""Pretraining at the size of BERT-base on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import entromask
from tests.entromask.runs import small_spec, write_corpus


@pytest.mark.gpu
@pytest.mark.parametrize("preset", ["random", "self-entropy-sample"])
def test_bert_base_pretrains_in_bf16_without_a_table_of_logits(preset: str, tmp_path: Path) -> None:
    spec = small_spec(
        write_corpus(tmp_path / "corpus.txt"),
        model={"architecture": "bert", "size": "base"},
        masking={"preset": preset, "warmup": 0.0},
    )
    spec["tokenizer"] = {"source": "train", "vocab_size": 8192}
    spec["pretraining"] = spec["pretraining"] | {
        "budget": {"steps": 20},
        "batch_size": 32,
        "sequence_length": 128,
        "precision": "bf16",
        "learning_rate": 1e-4,
    }
    torch.cuda.reset_peak_memory_stats()
    results = entromask.run(spec, output=tmp_path / "run")
    assert results.data["validation"]["loss"] < 9.0
    # Weights, gradients, Adam's moments and activations of 4,096 tokens: a few GiB.
    assert torch.cuda.max_memory_allocated() < 12 * 2**30


@pytest.mark.gpu
def test_the_loss_on_a_gpu_is_that_of_the_cpu() -> None:
    from entromask.modeling.linear_cross_entropy import linear_cross_entropy

    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(600, 768, generator=generator) / 8
    weight = torch.randn(30522, 768, generator=generator) / 8
    bias = torch.randn(30522, generator=generator)
    targets = torch.randint(0, 30522, (600,), generator=generator)
    expected = torch.nn.functional.cross_entropy(
        torch.addmm(bias.double(), hidden.double(), weight.double().t()), targets, reduction="sum"
    )
    loss = linear_cross_entropy(*(tensor.cuda() for tensor in (hidden, weight, bias, targets)))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)

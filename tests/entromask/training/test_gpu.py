"""Pretraining at the size of BERT-base on a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import entromask
from tests.entromask.runs import small_spec, write_corpus


@pytest.mark.gpu
@pytest.mark.parametrize(
    "preset", ["random", "self-entropy-sample", "self-masked-entropy-sample", "amlm", "span"]
)
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


def _problem(width: int = 768, positions: int = 600) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "hidden": torch.randn(positions, width, generator=generator) / 8,
        "weight": torch.randn(30522, width, generator=generator) / 8,
        "bias": torch.randn(30522, generator=generator),
        "targets": torch.randint(0, 30522, (positions,), generator=generator),
    }


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-3), (torch.bfloat16, 3e-2)])
def test_statistics_on_a_gpu_are_those_of_float64(dtype: torch.dtype, error: float) -> None:
    from entromask.modeling.linear_cross_entropy import Statistics, linear_cross_entropy

    hidden, weight, bias, targets = _problem().values()
    hidden, weight = hidden.to(dtype), weight.to(dtype)
    logits = torch.addmm(bias.double(), hidden.double(), weight.double().t()).log_softmax(1)
    found = Statistics.empty(len(targets), torch.device("cuda"))
    linear_cross_entropy(hidden.cuda(), weight.cuda(), bias.cuda(), targets.cuda(), found)
    entropy = -(logits.exp() * logits).sum(1)
    surprisal = -logits.gather(1, targets[:, None]).squeeze(1)
    assert (found.entropy.cpu().double() - entropy).abs().max() < error * entropy.max()
    assert (found.surprisal.cpu().double() - surprisal).abs().max() < error * surprisal.max()


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-4), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("top_k", [None, 16])
def test_distillation_on_a_gpu_is_that_of_float64(
    dtype: torch.dtype, error: float, top_k: int | None
) -> None:
    from entromask.modeling.distillation import TeacherLogits, distillation_loss

    hidden, weight, bias, targets = _problem().values()
    of_teacher = torch.randn(600, 768, generator=torch.Generator().manual_seed(1)) / 8

    def loss(device: str, kind: torch.dtype) -> tuple[float, torch.Tensor]:
        states = hidden.to(dtype).to(device, kind).requires_grad_()
        matrix, offset = weight.to(dtype).to(device, kind), bias.to(dtype).to(device, kind)
        teacher = TeacherLogits(of_teacher.to(dtype).to(device, kind), matrix, offset, top_k)
        result = distillation_loss(
            states,
            matrix,
            offset,
            targets.to(device),
            teacher,
            mlm_scale=0.5 / 600,
            distillation_scale=0.5 / 600,
            temperature=2.0,
        ).loss
        result.backward()
        assert states.grad is not None
        return float(result), states.grad.double().cpu()

    (expected, exact), (found, gradient) = loss("cpu", torch.float64), loss("cuda", dtype)
    assert found == pytest.approx(expected, rel=error)
    assert (gradient - exact).norm() < 3 * error * exact.norm()


@pytest.mark.gpu
@pytest.mark.parametrize("distillation", [{}, {"refresh": "cached"}, {"positions": "all"}])
def test_a_run_learns_from_its_teacher_on_a_gpu(
    distillation: dict[str, object], tmp_path: Path
) -> None:
    text = write_corpus(tmp_path / "corpus.txt")
    entromask.run(small_spec(text), output=tmp_path / "teacher")
    spec = small_spec(text, teacher={"run": str(tmp_path / "teacher")}, distillation=distillation)
    spec["pretraining"]["precision"] = "bf16"
    results = entromask.run(spec, output=tmp_path / "student")
    assert results.data["validation"]["loss"] < 6.0

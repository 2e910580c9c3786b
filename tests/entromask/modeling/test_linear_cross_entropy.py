from __future__ import annotations

import pytest
import torch

from entromask.modeling import linear_cross_entropy as module
from entromask.modeling.linear_cross_entropy import linear_cross_entropy


def _inputs(bias: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(50, 16, generator=generator, requires_grad=True)
    weight = torch.randn(300, 16, generator=generator, requires_grad=True)
    offset = torch.randn(300, generator=generator).requires_grad_() if bias else None
    return hidden, weight, offset, torch.randint(0, 300, (50,), generator=generator)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("chunk", [300, 7 * 300, 10**6])
def test_loss_and_gradients_equal_those_of_full_logits(
    bias: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", chunk)
    hidden, weight, offset, targets = _inputs(bias)
    leaves = [leaf for leaf in (hidden, weight, offset) if leaf is not None]

    loss = linear_cross_entropy(hidden, weight, offset, targets)
    (loss / 3).backward()
    ours = [leaf.grad for leaf in leaves]

    double = [leaf.detach().double().requires_grad_() for leaf in leaves]
    logits = torch.nn.functional.linear(*double[:2], *double[2:])
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (expected / 3).backward()

    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=1e-5)
    for gradient, leaf in zip(ours, double, strict=True):
        assert gradient is not None
        torch.testing.assert_close(gradient.double(), leaf.grad, rtol=1e-4, atol=1e-5)


def test_large_logits_neither_overflow_nor_vanish() -> None:
    hidden = torch.full((2, 4), 100.0)
    weight = torch.tensor([[1.0] * 4, [-1.0] * 4])
    loss = linear_cross_entropy(hidden, weight, None, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(800.0)


def test_no_position_is_a_loss_of_zero_with_zero_gradients() -> None:
    hidden, weight, offset, _ = _inputs(bias=True)
    loss = linear_cross_entropy(hidden[:0], weight, offset, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert weight.grad is not None
    assert not weight.grad.any()


def test_autocast_computes_in_its_precision_and_keeps_full_gradients() -> None:
    hidden, weight, offset, targets = _inputs(bias=True)
    full = linear_cross_entropy(hidden, weight, offset, targets)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = linear_cross_entropy(hidden, weight, offset, targets)
    rounded.backward()
    assert rounded.dtype == torch.float32
    assert rounded.item() != full.item()
    assert rounded.item() == pytest.approx(full.item(), rel=0.02)
    assert weight.grad is not None
    assert weight.grad.dtype == torch.float32

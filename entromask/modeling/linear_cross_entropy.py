"""Vocabulary projection and cross-entropy in one step, in chunks of rows.

The gradients are formed in the forward pass while a chunk's logits are at hand, so that no
tensor of size positions x vocabulary outlives its chunk and no pass over it is made twice.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Logits of one chunk: 32 MiB of float32, which a CPU's cache and any GPU can hold.
_CHUNK_ELEMENTS = 8 * 1024 * 1024


class Statistics(NamedTuple):
    """What a prediction was like at each of N positions, without gradients.

    Attributes:
        entropy: [N] float32, of the prediction, in nats.
        surprisal: [N] float32, -ln p(target), in nats.
        correct: [N] bool, whether the target was the best guess.
    """

    entropy: Tensor
    surprisal: Tensor
    correct: Tensor

    @classmethod
    def empty(cls, positions: int, device: torch.device) -> Statistics:
        entropy, surprisal = torch.zeros(2, positions, device=device)
        return cls(entropy, surprisal, torch.zeros(positions, dtype=torch.bool, device=device))


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        statistics: Statistics | None,
    ) -> Tensor:
        """`statistics` is filled in place."""
        needs_gradient = any(ctx.needs_input_grad)
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_gradient else None
        grad_weight = torch.zeros_like(weight) if needs_gradient else None
        grad_bias = torch.zeros_like(bias) if needs_gradient and bias is not None else None
        projection = weight.to(hidden.dtype)
        offset = None if bias is None else bias.to(hidden.dtype)
        rows = max(1, _CHUNK_ELEMENTS // weight.shape[0])
        for start in range(0, hidden.shape[0], rows):
            chunk, target = hidden[start : start + rows], targets[start : start + rows, None]
            logits = torch.nn.functional.linear(chunk, projection, offset).float()
            logits -= logits.amax(dim=1, keepdim=True)
            of_target = logits.gather(1, target)
            exponentials = logits.exp_() if statistics is None else logits.exp()
            total = exponentials.sum(dim=1, keepdim=True)
            losses = total.log() - of_target
            loss += losses.sum()
            if statistics is not None:
                here = slice(start, start + rows)
                # H = ln s - (1/s) sum x exp(x), of the logits x below their largest.
                weighted = torch.linalg.vecdot(exponentials, logits)[:, None] / total
                statistics.entropy[here] = (total.log() - weighted).squeeze(1).clamp_(min=0)
                statistics.surprisal[here] = losses.squeeze(1)
                statistics.correct[here] = of_target.squeeze(1) == 0
            if grad_hidden is None or grad_weight is None:
                continue
            probabilities = exponentials.div_(total)
            probabilities.scatter_add_(1, target, torch.full_like(total, -1.0))
            if grad_bias is not None:
                grad_bias += probabilities.sum(dim=0)
            gradient = probabilities.to(hidden.dtype)
            torch.mm(gradient, projection, out=grad_hidden[start : start + rows])
            if hidden.dtype == weight.dtype:
                grad_weight.addmm_(gradient.t(), chunk)
            else:
                grad_weight += gradient.t() @ chunk
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = grad_outputs
        grads = (None if grad is None else grad * scale for grad in ctx.saved_tensors)
        return (*grads, None, None)


@cache
def _liger() -> Any:
    """liger-kernel's fused function, or None where it is not installed."""
    try:
        from liger_kernel.ops import fused_linear_cross_entropy
    except ImportError:
        return None
    return fused_linear_cross_entropy.LigerFusedLinearCrossEntropyFunction


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    statistics: Statistics | None = None,
) -> Tensor:
    """Sum over N positions of -ln softmax(hidden weight^T + bias)[target], in nats.

    Args:
        hidden: [N, e].
        weight: [V, e].
        bias: [V] or None.
        targets: [N], each in [0, V).
        statistics: of N positions; filled in place, at the price of one more pass over the logits.

    Returns:
        A float32 scalar, differentiable with respect to hidden, weight and bias.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    with torch.autocast(hidden.device.type, enabled=False):
        if hidden.is_cuda and statistics is None and _liger() is not None and len(targets):
            weight = weight.to(hidden.dtype)
            bias = None if bias is None else bias.to(hidden.dtype)
            output = _liger().apply(
                hidden, weight, targets, bias, None, -100, 0.0, 0.0, "sum", None, False
            )
            loss: Tensor = output[0] if isinstance(output, tuple) else output
            return loss.float()
        result: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, statistics
        )
        return result

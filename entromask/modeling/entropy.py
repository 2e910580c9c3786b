"""Predictive entropy and log probability of masked-LM head states, without a table of logits.

The vocabulary projection is taken in tiles, and softmax sums are updated online tile by tile.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Measured best on CPUs, where two tiles have to fit into the second-level cache; GPUs want fewer,
# larger kernels. Two tiles are alive at a time: 4 MiB on a CPU, 64 MiB on a GPU.
_TILE = {"cpu": (512, 1024), "cuda": (4096, 2048)}


def token_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Entropy of softmax(hidden @ weight.T + bias) over the vocabulary; no gradient.

    H = -sum_v p(v) ln p(v) = ln s - u / s, with s = sum exp(z - m), u = sum (z - m) exp(z - m) and
    m the largest logit z. Half-precision input is computed in float32, except for bfloat16 on
    Hopper GPUs with liger-kernel[cutedsl], whose fused kernel rounds its result to bfloat16.

    Args:
        hidden: [N, d] head states, before the vocabulary projection; N may be 0.
        weight: [V, d].
        bias: [V] or None.

    Returns:
        [N] nats, between 0 and ln V, float32 (float64 for float64 states). A row whose logits are
        not finite gives NaN.

    Raises:
        ValueError: shapes that do not fit together, or values that are not floating point.
    """
    _check(hidden, weight, bias)
    fused = _liger_entropy(hidden, weight, bias)
    if fused is not None:
        return fused
    return _softmax_sums(hidden, weight, bias)[1]


def token_log_probability(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> Tensor:
    """ln p(target) under softmax(hidden @ weight.T + bias); no gradient.

    Args:
        hidden: [N, d]; N may be 0.
        weight: [V, d].
        bias: [V] or None.
        targets: [N] token ids, int64.

    Returns:
        [N] nats, at most 0, float32 (float64 for float64 states).

    Raises:
        ValueError: shapes that do not fit together, values that are not floating point, or a
            target outside the vocabulary.
    """
    _check(hidden, weight, bias)
    if targets.shape != hidden.shape[:1] or targets.is_floating_point():
        raise ValueError(
            f"targets must be {hidden.shape[0]} token ids, one for each row of hidden; "
            f"got {targets.dtype} of shape {tuple(targets.shape)}"
        )
    if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < len(weight):
        raise ValueError(
            f"targets must lie in 0..{len(weight) - 1}, the rows of weight; "
            f"got {int(targets.min())}..{int(targets.max())}"
        )
    with torch.no_grad():
        log_normalizer = _softmax_sums(hidden, weight, bias)[0]
        dtype = log_normalizer.dtype
        # Not vecdot, which autocast would take in half precision.
        logit = (hidden.to(dtype) * weight[targets].to(dtype)).sum(1)
        if bias is not None:
            logit += bias[targets].to(dtype)
        return (logit - log_normalizer).clamp_(max=0)


@torch.no_grad()
def _softmax_sums(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """([N] ln sum exp z, [N] entropy), by tiles of rows x vocabulary entries."""
    dtype = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    hidden = hidden.detach().to(dtype)
    rows, vocabulary = len(hidden), len(weight)
    tile_rows, tile_columns = _TILE["cpu" if hidden.device.type == "cpu" else "cuda"]
    largest = hidden.new_full((rows, 1), -torch.inf)
    total, weighted = hidden.new_zeros(rows, 1), hidden.new_zeros(rows, 1)
    buffers = [hidden.new_empty(min(tile_rows, rows) * tile_columns) for _ in range(2)]
    # Operations with out= keep their precision under autocast.
    for column in range(0, vocabulary, tile_columns):
        part = weight[column : column + tile_columns].to(dtype).T
        shift = None if bias is None else bias[column : column + tile_columns].to(dtype)
        for row in range(0, rows, tile_rows):
            here = slice(row, row + tile_rows)
            states = hidden[here]
            shape = (len(states), part.shape[1])
            logits, exponentials = (b[: shape[0] * shape[1]].view(shape) for b in buffers)
            if shift is None:
                torch.mm(states, part, out=logits)
            else:
                torch.addmm(shift, states, part, out=logits)
            _update(logits, exponentials, largest[here], total[here], weighted[here])
    log_total = total.log()
    entropy = (log_total - weighted / total).clamp_(min=0)
    return (largest + log_total).squeeze(1), entropy.squeeze(1)


def _update(
    logits: Tensor, exponentials: Tensor, largest: Tensor, total: Tensor, weighted: Tensor
) -> None:
    """Take one tile into the running sums, in place; `logits` is used up.

    When the largest logit grows by g, every earlier term x exp(x) of `weighted` becomes
    (x - g) exp(x - g), hence weighted <- (weighted - g total) exp(-g), total <- total exp(-g).
    """
    new = torch.maximum(largest, logits.amax(1, keepdim=True))
    # In the first tile g is infinite and the sums are zero: 0 x inf would be NaN.
    growth = (new - largest).clamp_(max=torch.finfo(new.dtype).max)
    largest.copy_(new)
    scale = torch.exp(-growth)
    logits.sub_(new)
    torch.exp(logits, out=exponentials)
    weighted.addcmul_(growth, total, value=-1).mul_(scale)
    total.mul_(scale).add_(exponentials.sum(1, keepdim=True))
    weighted.add_(logits.mul_(exponentials).sum(1, keepdim=True))


def _liger_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor | None:
    """The entropy by liger-kernel's fused kernel, or None where that has nothing to offer.

    liger-kernel 0.8.5 fuses for bfloat16 on Hopper (with its extra `cutedsl`); everywhere else it
    takes 512 rows of full logits at a time, which costs more memory and accuracy than our tiles.
    """
    if hidden.device.type != "cuda" or hidden.dtype != torch.bfloat16 or not len(hidden):
        return None
    if torch.cuda.get_device_capability(hidden.device) != (9, 0):
        return None
    try:
        from liger_kernel.ops import LigerFusedLinearScaledCrossEntropyFunction as Fused
        from liger_kernel.ops.cutedsl.ops import fused_scaled_cross_entropy_sm90  # noqa: F401
    except ImportError:
        return None
    with torch.no_grad():
        states, matrix = _with_bias_columns(hidden.detach(), weight.detach(), bias)
        targets = torch.zeros(len(states), dtype=torch.int64, device=states.device)
        _, entropy = Fused.apply(states, matrix, targets, 1.0, -100, 1, True)
        return torch.as_tensor(entropy).float().clamp_(min=0)


def _with_bias_columns(
    hidden: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`hidden` and `weight` in hidden's dtype, with the bias as further input columns.

    A kernel without a bias then computes the same logits. Two columns carry the bias, its
    rounded value and what the rounding lost, since one bfloat16 alone has 8 bits.
    """
    weight = weight.to(hidden.dtype)
    if bias is None:
        return hidden, weight
    exact = bias.detach().float()
    rounded = exact.to(hidden.dtype)
    rest = (exact - rounded.float()).to(hidden.dtype)
    ones = hidden.new_ones(len(hidden), 2)
    return torch.cat([hidden, ones], 1), torch.cat([weight, torch.stack([rounded, rest], 1)], 1)


def _check(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    for name, tensor, dimensions in (
        ("hidden", hidden, 2),
        ("weight", weight, 2),
        ("bias", bias, 1),
    ):
        if tensor is None:
            continue
        if tensor.dim() != dimensions:
            raise ValueError(f"{name} must have {dimensions} dimensions, not {tuple(tensor.shape)}")
        if not tensor.is_floating_point():
            raise ValueError(f"{name} must be floating point, not {tensor.dtype}")
        if tensor.device != hidden.device:
            raise ValueError(f"{name} is on {tensor.device}, hidden on {hidden.device}")
    if hidden.shape[1] != weight.shape[1]:
        raise ValueError(
            f"hidden {tuple(hidden.shape)} and weight {tuple(weight.shape)} differ in width"
        )
    if not len(weight):
        raise ValueError("weight has no rows: the vocabulary is empty")
    if bias is not None and len(bias) != len(weight):
        raise ValueError(
            f"bias has {len(bias)} entries, weight {len(weight)} rows: one each is needed"
        )

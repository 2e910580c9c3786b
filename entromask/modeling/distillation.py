"""Masked-LM loss and distillation from a teacher in one step, in chunks of rows.

As in `linear_cross_entropy`, the gradients are formed in the forward pass while a chunk's logits
are at hand, so that no tensor of size positions x vocabulary outlives its chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from entromask.modeling.linear_cross_entropy import Statistics

# Logits of one chunk: 32 MiB of float32 on a CPU, 16 on a GPU, which holds four or five chunks.
_CHUNK_ELEMENTS = {"cpu": 1 << 23, "cuda": 1 << 22}
# Softmax and its gradient pass over a chunk in tiles whose three buffers a CPU thread's
# second-level cache holds for the most part; a GPU takes a chunk at once.
_TILE_ELEMENTS = {"cpu": 1 << 18, "cuda": 1 << 25}
# Least tail probability of the student: its logarithm and the gradient stay finite where the
# student has given all of its probability to the kept ids.
_LEAST_TAIL = 1e-30


@dataclass(frozen=True)
class TeacherLogits:
    """A teacher's head states at the student's positions, and its vocabulary projection.

    Attributes:
        hidden: [N, e], ready for the projection.
        weight: [V, e].
        bias: [V] or None.
        top_k: probabilities kept at a position, the rest in one tail bucket; None: all.
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    top_k: int | None = None


@dataclass(frozen=True)
class TeacherTopK:
    """A teacher's most likely tokens at the student's positions; what is left to 1 is the tail.

    Attributes:
        ids: [N, k] int64, none twice at a position.
        probabilities: [N, k] float32, at the temperature of the loss.
        known: [N] bool, False where the teacher has nothing to say, so that only the target
            counts; None: it knows everywhere.
    """

    ids: Tensor
    probabilities: Tensor
    known: Tensor | None = None


class DistillationLoss(NamedTuple):
    """The differentiable loss, and the two sums that it is made of, for logging.

    Attributes:
        loss: scalar, mlm_scale * mlm_sum + distillation_scale * T^2 * kl_sum.
        mlm_sum: scalar, nats over the positions with a target.
        kl_sum: scalar, nats over all N positions, at temperature T and without the factor T^2.
        statistics: of the student at temperature 1, zeros where there is no target; None unless
            asked for.
    """

    loss: Tensor
    mlm_sum: Tensor
    kl_sum: Tensor
    statistics: Statistics | None


def distillation_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    teacher: TeacherLogits | TeacherTopK,
    *,
    mlm_scale: float,
    distillation_scale: float,
    temperature: float,
    statistics: bool = False,
) -> DistillationLoss:
    """Cross-entropy with the targets and KL divergence from the teacher (arXiv:1503.02531).

    With z = hidden weight^T + bias, p = softmax(z / T) and q the teacher's at the same T:

        mlm_scale sum_{target >= 0} -ln softmax(z)[target]
        + distillation_scale T^2 sum_n KL(q_n || p_n)

    With top-k, q and p are compared over k + 1 buckets: the teacher's k largest probabilities and
    the sum of all others. The gradient of KL with respect to z is then (p - q) / T at the kept
    ids and p (1 - q_tail / p_tail) / T elsewhere.

    Args:
        hidden: [N, e]; N may be 0.
        weight: [V, e].
        bias: [V] or None.
        targets: [N] int64, each in [0, V), or -100 where there is only something to distil.
        teacher: its predictions at the same N positions; no gradient flows into it.
        temperature: T, above 0.
        statistics: whether to return them, at the price of one more pass over the logits.

    Returns:
        Float32 scalars (float64 for float64 states); `loss` alone is differentiable, with respect
        to hidden, weight and bias.

    Raises:
        ValueError: teacher and student differ in vocabulary or positions, or top_k exceeds the
            vocabulary.
    """
    _check(hidden, weight, teacher)
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    with torch.autocast(hidden.device.type, enabled=False):
        scales = _Scales(mlm_scale, distillation_scale, temperature)
        loss, mlm_sum, kl_sum, *more = _Distillation.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, _in_precision(teacher, hidden.dtype), scales, statistics
        )
    return DistillationLoss(loss, mlm_sum, kl_sum, Statistics(*more) if statistics else None)


@torch.no_grad()
def top_k_probabilities(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, top_k: int, temperature: float
) -> tuple[Tensor, Tensor]:
    """The k largest of softmax((hidden weight^T + bias) / temperature); no gradient.

    Args:
        hidden: [N, e]; N may be 0.
        weight: [V, e].
        bias: [V] or None.
        top_k: k, at most V.
        temperature: above 0.

    Returns:
        Token ids [N, k] int64 and probabilities [N, k] float32, the largest first.
    """
    ids = hidden.new_empty(len(hidden), top_k, dtype=torch.int64)
    probabilities = hidden.new_empty(len(hidden), top_k, dtype=_working(hidden.dtype))
    chunk, tile = _buffers(hidden, len(weight), 1)
    for rows in _parts(len(hidden), len(chunk)):
        logits = _project(hidden[rows], weight, bias, chunk)
        for part in _parts(len(logits), len(tile)):
            here = _within(rows, part)
            kept = _top_k(logits[part], top_k, temperature, tile)
            ids[here], probabilities[here] = kept.ids, kept.probabilities
    return ids, probabilities


class _Scales(NamedTuple):
    mlm: float
    distillation: float
    temperature: float


class _Kept(NamedTuple):
    """A teacher's kept probabilities: ids and probabilities [n, k], and their tail [n, 1].

    `known` [n, 1] is 0 where it has nothing to say; None: 1 everywhere.
    """

    ids: Tensor
    probabilities: Tensor
    tail: Tensor
    known: Tensor | None = None


class _Distillation(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        teacher: TeacherLogits | TeacherTopK,
        scales: _Scales,
        statistics: bool,
    ) -> tuple[Tensor, ...]:
        needs_gradient = any(ctx.needs_input_grad)
        grad_hidden = torch.empty_like(hidden) if needs_gradient else None
        grad_weight = torch.zeros_like(weight) if needs_gradient else None
        grad_bias = torch.zeros_like(bias) if needs_gradient and bias is not None else None
        # Gradients are formed for scales of at most 1: those of a mean would vanish in float16.
        ctx.unit = max(scales.mlm, scales.distillation) or 1.0
        parts = _Scales(scales.mlm / ctx.unit, scales.distillation / ctx.unit, scales.temperature)
        projection = weight.to(hidden.dtype)
        offset = None if bias is None else bias.to(hidden.dtype)
        chunk, soft, hard, spare = _buffers(hidden, len(weight), 3)
        teacher_chunk = torch.empty_like(chunk) if isinstance(teacher, TeacherLogits) else chunk[:0]
        mlm_sum, kl_sum = chunk.new_zeros(()), chunk.new_zeros(())
        more = Statistics.empty(len(hidden), hidden.device) if statistics else None
        for rows in _parts(len(hidden), len(chunk)):
            logits = _project(hidden[rows], projection, offset, chunk)
            predicted = _predictions(teacher, rows, scales.temperature, teacher_chunk, spare)
            for part in _parts(len(logits), len(soft)):
                here = _within(rows, part)
                tile = _Tile(logits[part], targets[here], scales.temperature, soft, hard, spare)
                mlm_sum += tile.surprisal.sum()
                if more is not None:
                    for kept, value in zip(more, tile.statistics(), strict=True):
                        kept[here] = value
                kl_sum += tile.divergence(predicted(part)).sum()
                if needs_gradient:
                    tile.to_gradient(parts)
            if grad_hidden is None or grad_weight is None:
                continue
            if grad_bias is not None:
                grad_bias += logits.sum(dim=0)
            gradient = logits.to(hidden.dtype)
            torch.mm(gradient, projection, out=grad_hidden[rows])
            if hidden.dtype == weight.dtype:
                grad_weight.addmm_(gradient.t(), hidden[rows])
            else:
                grad_weight += gradient.t() @ hidden[rows]
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        loss = scales.mlm * mlm_sum + scales.distillation * scales.temperature**2 * kl_sum
        ctx.mark_non_differentiable(mlm_sum, kl_sum, *(more or ()))
        return (loss, mlm_sum, kl_sum, *(more or ()))

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        scale = grad_outputs[0] * ctx.unit
        grads = (None if grad is None else grad * scale for grad in ctx.saved_tensors)
        return (*grads, None, None, None, None)


class _Tile:
    """Some rows of logits [n, V], which become their gradient in place.

    Meanwhile `logits` are divided by T; `soft` is the softmax at temperature T, later the gradient
    of T KL; `hard` / `hard_sum` is the softmax at temperature 1.
    """

    def __init__(
        self, logits: Tensor, targets: Tensor, temperature: float, *buffers: Tensor
    ) -> None:
        self.soft, self.hard, self.spare = (buffer[: len(logits)] for buffer in buffers)
        self.logits, self.temperature = logits, temperature
        if temperature == 2:  # exp(z) is the square of exp(z / 2)
            self.soft_log = _softmax(logits.mul_(0.5), self.soft)
            torch.mul(self.soft, self.soft, out=self.hard)
            self.hard_sum = self.hard.sum(1, keepdim=True)
            self.hard_log = 2 * self.soft_log + self.hard_sum.log()
        else:
            self.hard_log = _softmax(logits, self.hard)
            self.hard_sum = torch.ones_like(self.hard_log)
            self.soft_log = _softmax(logits.mul_(1 / temperature), self.soft)
        self.wanted, self.index = targets[:, None] >= 0, targets[:, None].clamp(min=0)
        self.target_logit = logits.gather(1, self.index)
        surprisal = self.hard_log - temperature * self.target_logit
        self.surprisal = surprisal.masked_fill_(~self.wanted, 0.0)

    def statistics(self) -> Statistics:
        """Before `to_gradient`."""
        product = torch.mul(self.hard, self.logits, out=self.spare)
        mean = product.sum(1, keepdim=True).div_(self.hard_sum).mul_(self.temperature)
        entropy = (self.hard_log - mean).clamp_(min=0).masked_fill_(~self.wanted, 0.0)
        correct = (self.target_logit >= self.logits.amax(1, keepdim=True)) & self.wanted
        return Statistics(entropy[:, 0], self.surprisal[:, 0], correct[:, 0])

    def divergence(self, teacher: Tensor | _Kept) -> Tensor:
        """KL at temperature T, [n]; the teacher's logits [n, V] are used up. Once."""
        if isinstance(teacher, _Kept):
            return self._divergence_of_kept(*teacher)
        teacher_log = _softmax(teacher.mul_(1 / self.temperature), self.spare)
        self.soft -= self.spare
        excess = teacher.sub_(self.logits).mul_(self.spare).sum(1, keepdim=True)
        return (excess - teacher_log + self.soft_log)[:, 0]

    def _divergence_of_kept(
        self, ids: Tensor, probabilities: Tensor, tail: Tensor, known: Tensor | None
    ) -> Tensor:
        student_log = self.logits.gather(1, ids) - self.soft_log
        student = self.soft.gather(1, ids)
        # Summed, not 1 - the kept ones, which leaves nothing of a small tail.
        student_tail = self.soft.scatter_(1, ids, 0.0).sum(1, keepdim=True).clamp_(min=_LEAST_TAIL)
        of_tail, of_kept = 1 - tail / student_tail, student - probabilities
        kept = torch.xlogy(probabilities, probabilities) - probabilities * student_log
        rest = torch.xlogy(tail, tail) - tail * student_tail.log()
        divergence = kept.sum(1, keepdim=True) + rest
        if known is not None:
            of_tail, of_kept, divergence = (v * known for v in (of_tail, of_kept, divergence))
        self.soft.mul_(of_tail).scatter_(1, ids, of_kept)
        return divergence[:, 0]

    def to_gradient(self, scales: _Scales) -> None:
        """Of scales.mlm * surprisal + scales.distillation * T^2 KL; after `divergence`."""
        share = self.wanted * scales.mlm
        torch.mul(self.hard, share / self.hard_sum, out=self.logits)
        self.logits.add_(self.soft, alpha=scales.distillation * scales.temperature)
        self.logits.scatter_add_(1, self.index, -share.to(self.logits.dtype))


def _softmax(logits: Tensor, out: Tensor) -> Tensor:
    """Softmax of [n, V] into `out`; returns ln sum exp logits, [n, 1]."""
    torch.softmax(logits, 1, out=out)
    # The largest probability, at least 1 / V, is that of the largest logit.
    return logits.amax(1, keepdim=True) - out.amax(1, keepdim=True).log_()


def _predictions(
    teacher: TeacherLogits | TeacherTopK,
    rows: slice,
    temperature: float,
    chunk: Tensor,
    tile: Tensor,
) -> Callable[[slice], Tensor | _Kept]:
    """What the teacher says at a part of `rows`: all logits, or the kept probabilities."""
    if isinstance(teacher, TeacherTopK):
        ids, probabilities = teacher.ids[rows], teacher.probabilities[rows]
        tail = (1 - probabilities.sum(1, keepdim=True)).clamp_(min=0)
        known = None if teacher.known is None else teacher.known[rows, None]
        return lambda part: _Kept(
            ids[part], probabilities[part], tail[part], None if known is None else known[part]
        )
    logits = _project(teacher.hidden[rows], teacher.weight, teacher.bias, chunk)
    top_k = teacher.top_k
    if top_k is None:
        return lambda part: logits[part]
    return lambda part: _top_k(logits[part], top_k, temperature, tile)


def _top_k(logits: Tensor, top_k: int, temperature: float, tile: Tensor) -> _Kept:
    """Of softmax(logits / temperature); uses up logits [n, V] and the first n rows of `tile`."""
    every = torch.softmax(logits.mul_(1 / temperature), 1, out=tile[: len(logits)])
    probabilities, ids = every.topk(top_k)
    return _Kept(ids, probabilities, every.scatter_(1, ids, 0.0).sum(1, keepdim=True))


def _project(hidden: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Logits [n, V] in the first n rows of `out`."""
    logits = out[: len(hidden)]
    if hidden.dtype != out.dtype:
        return logits.copy_(torch.nn.functional.linear(hidden, weight, bias))
    if bias is None:
        return torch.mm(hidden, weight.t(), out=logits)
    return torch.addmm(bias, hidden, weight.t(), out=logits)


def _working(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _buffers(hidden: Tensor, vocabulary: int, tiles: int) -> list[Tensor]:
    """A chunk [n, V], and `tiles` tiles [m, V] of no more rows, for states `hidden`."""
    on_cpu = hidden.device.type == "cpu"
    kind, threads = ("cpu", torch.get_num_threads()) if on_cpu else ("cuda", 1)
    chunk = max(1, min(len(hidden), _CHUNK_ELEMENTS[kind] // vocabulary))
    tile = max(1, min(chunk, _TILE_ELEMENTS[kind] * threads // vocabulary))
    dtype = _working(hidden.dtype)
    return [hidden.new_empty(rows, vocabulary, dtype=dtype) for rows in (chunk, *[tile] * tiles)]


def _parts(count: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _within(rows: slice, part: slice) -> slice:
    """`part` of `rows`, counted from where `rows` are counted from."""
    return slice(rows.start + part.start, rows.start + part.stop)


def _in_precision(
    teacher: TeacherLogits | TeacherTopK, dtype: torch.dtype
) -> TeacherLogits | TeacherTopK:
    """What the kernel reads: logits made in the student's precision, nothing to differentiate."""
    if isinstance(teacher, TeacherTopK):
        return replace(teacher, probabilities=teacher.probabilities.detach().to(_working(dtype)))
    bias = None if teacher.bias is None else teacher.bias.detach().to(dtype)
    hidden, weight = (tensor.detach().to(dtype) for tensor in (teacher.hidden, teacher.weight))
    return TeacherLogits(hidden, weight, bias, teacher.top_k)


def _check(hidden: Tensor, weight: Tensor, teacher: TeacherLogits | TeacherTopK) -> None:
    positions = len(teacher.ids if isinstance(teacher, TeacherTopK) else teacher.hidden)
    if positions != len(hidden):
        raise ValueError(f"the teacher predicts {positions} positions, the student {len(hidden)}")
    if isinstance(teacher, TeacherLogits) and len(teacher.weight) != len(weight):
        raise ValueError(
            f"the teacher's vocabulary has {len(teacher.weight)} tokens, the student's "
            f"{len(weight)}: they have to be the same"
        )
    top_k = teacher.ids.shape[1] if isinstance(teacher, TeacherTopK) else teacher.top_k
    if top_k is not None and top_k > len(weight):
        raise ValueError(f"top_k is {top_k}, the vocabulary has {len(weight)} tokens")

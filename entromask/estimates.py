"""What a model costs before it is built: parameters and FLOPs by formula, without torch.

The formulas are those of the architectures in `entromask.modeling.architectures` and of
`entromask.training`; tests hold them to the models and to the training loop.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from entromask.parts.masking import Masking, RateSchedule
from entromask.parts.training import Distillation
from entromask.presets import SIZES, Size

# The masked view hides a row's positions in so many passes, `entromask.masking.scoring.GROUPS`.
_GROUPS = 7


@dataclass(frozen=True)
class Shape:
    """An encoder with its vocabulary; `positions` are the tokens of a row."""

    size: Size
    vocabulary: int
    positions: int


def _layer(size: Size) -> int:
    """Attention and feed-forward with biases, two layer norms."""
    width, inner = size.width, size.feed_forward
    attention = 4 * (width * width + width)
    return attention + 2 * width * inner + inner + width + 4 * width


def _head(shape: Shape) -> int:
    """A dense layer, a layer norm, a bias for each type; the weights are the embeddings."""
    width = shape.size.width
    return width * width + 3 * width + shape.vocabulary


def _bert_like(segments: int, more_positions: int = 0) -> Callable[[Shape], int]:
    def count(shape: Shape) -> int:
        size = shape.size
        rows = shape.vocabulary + shape.positions + more_positions + segments
        embeddings = rows * size.width + 2 * size.width
        return embeddings + size.layers * _layer(size) + _head(shape)

    return count


def _modernbert_inner(size: Size) -> int:
    return size.feed_forward * 3 // 8


def _modernbert(shape: Shape) -> int:
    """No biases but the vocabulary's, rotary positions, gated feed-forward layers."""
    size, width = shape.size, shape.size.width
    # The first layer takes the embeddings' norm for its own.
    norms = 2 * size.layers * width + width
    head = width * width + width + shape.vocabulary
    return shape.vocabulary * width + _modernbert_matrices(size) + norms + head


def _modernbert_matrices(size: Size) -> int:
    return size.layers * (4 * size.width**2 + 3 * size.width * _modernbert_inner(size))


def _plain_matrices(size: Size) -> int:
    return size.layers * (4 * size.width**2 + 2 * size.width * size.feed_forward)


_COUNTS: dict[str, Callable[[Shape], int]] = {
    "bert": _bert_like(segments=2),
    "distilbert": _bert_like(segments=0),
    # RoBERTa counts positions from the padding's id + 1, which is 1 in a trained tokenizer's place.
    "roberta": _bert_like(segments=1, more_positions=2),
    "electra": _bert_like(segments=2),
    "modernbert": _modernbert,
}


def parameters(architecture: str, size: str, vocabulary: int, positions: int) -> int:
    """How many weights a masked language model has, its head included."""
    return _COUNTS[architecture](Shape(SIZES[size], vocabulary, positions))


@dataclass(frozen=True)
class Compute:
    """FLOPs per token of a forward pass, as `entromask.training.cost.Cost` counts them."""

    encoder: float
    head: float

    @classmethod
    def of(cls, architecture: str, size: str, vocabulary: int, sequence_length: int) -> Compute:
        shape = SIZES[size]
        modern = architecture == "modernbert"
        matrices = _modernbert_matrices(shape) if modern else _plain_matrices(shape)
        encoder = 2.0 * matrices + 4.0 * sequence_length * shape.width * shape.layers
        return cls(encoder, 2.0 * (shape.width**2 + vocabulary * shape.width))

    def forward(self, tokens: float, predicted: float) -> float:
        return self.encoder * tokens + self.head * predicted

    def training(self, tokens: float, predicted: float) -> float:
        return 3 * self.forward(tokens, predicted)


def pretraining_flops(
    masking: Masking,
    distillation: Distillation | None,
    student: Compute,
    teacher: Compute,
    tokens: float,
) -> float:
    """Floating-point operations of a pretraining, as results.json will count them.

    What a store of the teacher's scores or predictions takes is not among them: it is filled once
    for all runs. A warm-up until the plateau is left has an end that is not known before; the
    scores are counted from the first step.

    Args:
        masking, distillation: resolved.
        student: the model that is trained.
        teacher: of its passes, where each step asks it.
        tokens: that the model is trained on.
    """
    predicted = mean_rate(masking.rate) * tokens
    compared = 0.0
    if distillation is not None:
        compared = tokens if distillation.positions == "all" else predicted
    flops = student.training(tokens, max(predicted, compared))
    if distillation is not None and distillation.refresh == "fresh":
        flops += teacher.forward(tokens, compared)
    warmup = masking.warmup if isinstance(masking.warmup, float) else 0.0
    return flops + _scoring(masking, student, teacher, (1 - warmup) * tokens)


def mean_rate(rate: float | RateSchedule | None) -> float:
    """The masking rate over a whole run: every schedule spends as long near its end as its start.

    See `entromask.masking.rates.rate_at`.
    """
    if isinstance(rate, RateSchedule):
        return (rate.start + rate.end) / 2
    return float(rate or 0.0)


def asks_teacher_each_step(masking: Masking, distillation: Distillation | None) -> bool:
    """Whether a step has a forward pass of the teacher, for its scores or for its predictions."""
    scores = masking.source == "teacher" and masking.refresh == "fresh"
    return scores or (distillation is not None and distillation.refresh == "fresh")


def _scoring(masking: Masking, student: Compute, teacher: Compute, tokens: float) -> float:
    """What the scores of so many tokens cost beside the training."""
    if masking.refresh == "fresh":
        passes = _GROUPS if masking.view == "masked" else 1
        model = teacher if masking.source == "teacher" else student
        return model.forward(passes * tokens, tokens)
    # Cached scores of the model itself; the teacher's lie in a store.
    return student.head * tokens * (masking.refresh_share or 0.0)

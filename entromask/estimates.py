"""What a model costs before it is built: parameters and FLOPs by formula, without torch.

The formulas are those of the architectures in `entromask.modeling.architectures` and of
`entromask.training.cost`; a test holds them to the models themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from entromask.presets import SIZES, Size


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


def training_flops(
    architecture: str,
    size: str,
    vocabulary: int,
    sequence_length: int,
    tokens: float,
    *,
    rate: float,
    scored: float = 0.0,
) -> float:
    """Floating-point operations of pretraining: two per weight and token, three passes.

    Args:
        rate: the share of the tokens that are predicted; the head runs on them alone.
        scored: the tokens that a further forward pass scores, head and all.
    """
    shape = SIZES[size]
    modern = architecture == "modernbert"
    matrices = _modernbert_matrices(shape) if modern else _plain_matrices(shape)
    encoder = 2.0 * matrices + 4.0 * sequence_length * shape.width * shape.layers
    head = 2.0 * (shape.width**2 + vocabulary * shape.width)
    return 3 * (encoder * tokens + head * rate * tokens) + (encoder + head) * scored

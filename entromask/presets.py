"""Tables: masking presets, model sizes, fine-tuning protocols. Adding one is adding a row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Size:
    """The shape of an encoder; `feed_forward` is the inner width of a plain (ungated) layer."""

    layers: int
    width: int
    heads: int
    feed_forward: int


SIZES: dict[str, Size] = {
    "tiny": Size(2, 128, 2, 512),
    "mini": Size(4, 256, 4, 1024),
    "small": Size(4, 512, 8, 2048),
    "medium": Size(8, 512, 8, 2048),
    "base": Size(12, 768, 12, 3072),
    # The shape on the model cards of the paper's first author; their link to the paper is inferred.
    "paper-tiny": Size(4, 512, 8, 3072),
}


@dataclass(frozen=True)
class MaskingPreset:
    """A named composition of the parts of `Masking`.

    `parts` are the parts that differ from the defaults; `available` is False for a preset that a
    later version brings.
    """

    description: str
    parts: dict[str, Any] = field(default_factory=dict)
    available: bool = True


_SELECTIONS = {
    "high": ("top", "the most uncertain positions of each row"),
    "low": ("bottom", "the least uncertain positions of each row"),
    "middle": ("middle", "the positions in the middle of each row's ranking"),
    "ends": ("ends", "half the most uncertain, half the least uncertain positions"),
    "sample": ("sample", "positions drawn without replacement with weights exp(entropy / T)"),
}
_HARD = " A hard selection: expect repeated masks and no frequent types; for replication."
_VISIBLE = " Visible view: the model sees the token it is asked about; close to a frequency table."


def _entropy_presets(prefix: str, source: str, view: str) -> dict[str, MaskingPreset]:
    presets = {}
    for name, (select, words) in _SELECTIONS.items():
        who = "a teacher" if source == "teacher" else "the model in training"
        description = f"Entropy of {who} with the token {view}: {words}."
        description += _VISIBLE if view == "visible" else ""
        description += "" if select == "sample" else _HARD
        parts: dict[str, Any] = {"score": "entropy", "source": source, "view": view}
        parts |= {"select": select, "refresh": "cached" if source == "teacher" else "fresh"}
        if source == "self":
            parts["warmup"] = "plateau"
        available = not (source == "self" and view == "masked")
        if not available:
            parts["refresh"] = "cached"
        presets[f"{prefix}-{name}"] = MaskingPreset(description, parts, available)
    return presets


MASKING_PRESETS: dict[str, MaskingPreset] = {
    "random": MaskingPreset("Uniformly random positions (BERT, arXiv:1810.04805)."),
    "frequency": MaskingPreset(
        "Rare token types more often: weights count^-0.5 (WSBERT, arXiv:2302.14225). "
        "The control for every entropy strategy: it needs no model.",
        {"score": "frequency", "source": "corpus", "select": "sample"},
    ),
    **_entropy_presets("teacher-masked-entropy", "teacher", "masked"),
    **_entropy_presets("teacher-entropy", "teacher", "visible"),
    **_entropy_presets("self-entropy", "self", "visible"),
    **_entropy_presets("self-masked-entropy", "self", "masked"),
    "whole-word": MaskingPreset("Whole words.", {"unit": "word"}, False),
    "span": MaskingPreset("Spans (SpanBERT, arXiv:1907.10529).", {"unit": "span"}, False),
    "pmi": MaskingPreset(
        "Collocations (arXiv:2010.01825).",
        {"score": "pmi", "source": "corpus", "select": "sample"},
        False,
    ),
    "amlm": MaskingPreset(
        "Types that the model predicts badly (arXiv:2510.20475).",
        {"score": "amlm", "source": "self", "select": "sample"},
        False,
    ),
    "rate-decay": MaskingPreset(
        "Random, the rate falling from 30 to 15 % (arXiv:2305.15096).",
        {"rate": {"schedule": "linear", "start": 0.30, "end": 0.15}},
        False,
    ),
    "time-variant": MaskingPreset(
        "Content and rate change over time (arXiv:2208.10806).",
        {"rate": {"schedule": "cyclic", "start": 0.30, "end": 0.15}},
        False,
    ),
}


@dataclass(frozen=True)
class Protocol:
    """How a pretrained model is fine-tuned: one setting for all tasks, nothing selected.

    `max_steps` bounds the optimizer steps of large tasks; `epochs` rules where it is smaller.
    """

    learning_rate: float
    epochs: int
    batch_size: int
    warmup: float
    weight_decay: float
    max_length: int
    max_steps: int | None


PROTOCOLS: dict[str, Protocol] = {
    # BERT's fine-tuning range (arXiv:1810.04805, A.3), at the upper end, as small models need.
    "fixed": Protocol(
        learning_rate=1e-4,
        epochs=3,
        batch_size=32,
        warmup=0.1,
        weight_decay=0.01,
        max_length=128,
        max_steps=None,
    ),
}

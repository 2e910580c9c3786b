"""Tables: masking presets, model sizes, fine-tuning protocols. Adding one is adding a row."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields, replace
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
    """A named composition of the parts of `Masking`; `parts` are those that differ from the
    defaults.
    """

    description: str
    parts: dict[str, Any] = field(default_factory=dict)


_SELECTIONS = {
    "high": ("top", "the most uncertain positions of each row"),
    "low": ("bottom", "the least uncertain positions of each row"),
    "middle": ("middle", "the positions in the middle of each row's ranking"),
    "ends": ("ends", "half the most uncertain, half the least uncertain positions"),
    "sample": ("sample", "positions drawn without replacement with weights exp(entropy / T)"),
}
_HARD = " A hard selection: expect repeated masks and no frequent types; for replication."
_VISIBLE = " Visible view: the model sees the token it is asked about; close to a frequency table."
_FROM_THE_CACHE = (
    " From the training's own predictions: a position's score is that of its last mask."
)


def _entropy_presets(prefix: str, source: str, view: str) -> dict[str, MaskingPreset]:
    presets = {}
    for name, (select, words) in _SELECTIONS.items():
        who = "a teacher" if source == "teacher" else "the model in training"
        description = f"Entropy of {who} with the token {view}: {words}."
        description += _VISIBLE if view == "visible" else ""
        description += "" if select == "sample" else _HARD
        cached = source == "teacher" or view == "masked"
        description += "" if source == "teacher" or not cached else _FROM_THE_CACHE
        parts: dict[str, Any] = {"score": "entropy", "source": source, "view": view}
        parts |= {"select": select, "refresh": "cached" if cached else "fresh"}
        if source == "self":
            parts["warmup"] = "plateau"
        presets[f"{prefix}-{name}"] = MaskingPreset(description, parts)
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
    "whole-word": MaskingPreset(
        "Uniformly random whole words: the option of BERT's authors (github.com/google-research/"
        "bert, 2019; arXiv:1906.08101).",
        {"unit": "word"},
    ),
    "span": MaskingPreset(
        "Spans of whole words, their length geometric with p = 0.2, at most 10, 3.8 on average "
        "(SpanBERT, arXiv:1907.10529; its span boundary objective is not part of this).",
        {"unit": "span"},
    ),
    "pmi": MaskingPreset(
        "Words that go with their neighbours, by pointwise mutual information over the corpus "
        "(after PMI-Masking, arXiv:2010.01825, which masks whole collocations of up to five words; "
        "here words are drawn one by one, those of a collocation more often).",
        {"score": "pmi", "source": "corpus", "select": "sample", "unit": "word"},
    ),
    "amlm": MaskingPreset(
        "Token types that the model predicts badly: weights w = 0.2 w + 0.8 p (1 - accuracy), "
        "updated every 200 steps (AMLM, arXiv:2510.20475). Its rate decay is an option: rate: "
        "{schedule: linear, start: 0.4, end: 0.15}.",
        {"score": "amlm", "source": "self", "select": "sample"},
    ),
    "rate-decay": MaskingPreset(
        "Uniformly random, the rate falling linearly from 30 to 15 % (arXiv:2305.15096).",
        {"rate": {"schedule": "linear", "start": 0.30, "end": 0.15}},
    ),
    "time-variant": MaskingPreset(
        "Types that the model predicts badly, at a rate that falls by half a cosine from 32 to 2 % "
        "(after arXiv:2208.10806, whose weights are losses by part of speech; here they are those "
        "of amlm, which need no tagger).",
        {
            "score": "amlm",
            "source": "self",
            "select": "sample",
            "rate": {"schedule": "cosine", "start": 0.32, "end": 0.02},
        },
    ),
}


@dataclass(frozen=True)
class Protocol:
    """How a pretrained model is fine-tuned: the same rules for every task and every model.

    Attributes:
        learning_rate: peak of AdamW's learning rate; None: it follows the model's width, see
            `learning_rate_of`.
        epochs: passes over the training rows.
        min_steps: small training sets are repeated until there are so many optimizer steps.
        max_steps: bounds the optimizer steps of large tasks.
        rate_factors: where given, the learning rate times each of them is tried on rows held out
            of the training split, and the best rate is used.
        patience: where given, the training ends after so many epochs without a lower loss on the
            validation split, and the best epoch's model is the result.
        frozen_encoder: only the classification head is trained.
    """

    learning_rate: float | None
    epochs: int
    batch_size: int
    warmup: float
    weight_decay: float
    max_length: int
    max_steps: int | None
    min_steps: int = 0
    rate_factors: tuple[float, ...] = ()
    patience: int | None = None
    frozen_encoder: bool = False
    description: str = field(default="", compare=False)

    @property
    def selects_on_reported(self) -> bool:
        """Whether something is chosen by the very rows whose scores are reported."""
        return self.patience is not None

    def learning_rate_of(self, width: int) -> float:
        """Return the peak learning rate for a model with hidden states of `width`."""
        if self.learning_rate is not None:
            return self.learning_rate
        rate = _RATE_AT_128 * (128 / width) ** _RATE_EXPONENT
        return float(f"{rate:.2g}")

    def epochs_of(self, rows: int) -> int:
        """Return the passes over a training set of `rows`, one or more."""
        return max(self.epochs, -(-self.min_steps // self._batches(rows)))

    def steps(self, rows: int) -> int:
        """Return the optimizer steps of a training on `rows`, where it does not stop early."""
        steps = self.epochs_of(rows) * self._batches(rows)
        return steps if self.max_steps is None else min(steps, self.max_steps)

    def _batches(self, rows: int) -> int:
        return -(-rows // self.batch_size)

    def data(self) -> dict[str, Any]:
        """What a result depends on, as plain data.

        A field with a default is left out where it has that default, so that a new one leaves the
        fingerprints of older results as they are.
        """
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.compare}
        defaults = {one.name: one.default for one in fields(self) if one.default is not MISSING}
        return {
            name: v for name, v in values.items() if name not in defaults or v != defaults[name]
        }


# A power law through settings that are published for one width each: 5e-5 at 768 (the upper end of
# BERT's range, arXiv:1810.04805, A.3) and 3e-4 at 256 (ELECTRA-Small, arXiv:2003.10555, B).
# It gives 1e-3 at 128, which benchmarks/fine_tuning_grid.py holds against a grid of rates.
_RATE_AT_128 = 1e-3
_RATE_EXPONENT = 5 / 3

_FIXED = Protocol(
    learning_rate=None,
    epochs=3,
    batch_size=32,
    warmup=0.1,
    weight_decay=0.01,
    max_length=128,
    max_steps=None,
    # At three epochs, fine-tuning on some hundred rows has not converged (arXiv:2006.04884,
    # arXiv:2006.05987); at 500 steps it fits them so well that a model without pretraining, a
    # floor, loses a point or two (benchmarks/fine_tuning_grid.py).
    min_steps=200,
    description="One setting for all tasks, nothing selected: a learning rate by the model's "
    "width, three epochs and at least 200 steps.",
)

PROTOCOLS: dict[str, Protocol] = {
    "fixed": _FIXED,
    "search": replace(
        _FIXED,
        rate_factors=(1 / 3, 1.0, 3.0),
        description="As `fixed`, with the learning rate selected for each task on a tenth of its "
        "training split (at most 1,000 rows), never on the rows that are reported. The grid lies "
        "around the rate of `fixed`; it is extended while the best rate is at its edge.",
    ),
    # Batch size, learning rate and epochs are those of the model cards of the paper's first author;
    # their link to the paper is inferred. Patience, length, warm-up and decay are not given there:
    # the last two are the defaults of the Hugging Face Trainer, the others a guess.
    "paper-cards": Protocol(
        learning_rate=5e-5,
        epochs=50,
        batch_size=256,
        warmup=0.0,
        weight_decay=0.0,
        max_length=128,
        max_steps=None,
        patience=3,
        description="The settings on the model cards of the paper's first author, their link to "
        "the paper being inferred; patience and length are guesses. It selects on the reported "
        "rows: the epoch with the lowest validation loss is the one that is scored.",
    ),
    # A new head on fixed features stands a rate ten times that of the whole model.
    "frozen": replace(
        _FIXED,
        learning_rate=1e-3,
        frozen_encoder=True,
        description="As `fixed`, with the encoder's weights frozen and a higher learning rate: "
        "only the classification head is trained, and a pooler where the architecture has one, "
        "since pretraining leaves it untrained.",
    ),
}

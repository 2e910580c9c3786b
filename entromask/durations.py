"""How long a run takes, before it has begun: work by formula, seconds by a machine's speed.

A run falls into pieces: its preparation, the teacher's scores, the pretraining, a fine-tuning for
each task and seed, floors, the report. Each piece is some work, in passes through layers and in
FLOPs. `entromask.calibration` measures a machine's speed; finished runs then correct each kind of
piece by what it really took, those of the same shape before all others. Without torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from entromask.compatibility import uses_teacher
from entromask.estimates import Compute, pretraining_flops
from entromask.glue.plan import groups
from entromask.glue.tasks import Task
from entromask.presets import PROTOCOLS, SIZES, Protocol
from entromask.settings import settings
from entromask.spec import RunSpec

STAGES = ("preparing", "scoring", "pretraining", "evaluating", "floors", "reporting")
# A few seconds, whichever the machine.
_SMALL = ("preparing", "reporting")
# A process of a worker is forked; opening corpus, tokenizer and task files takes about a second.
_START = 1.0
# Training a tokenizer and packing, for each token of a corpus that nobody has packed yet: seconds,
# and as long as so many FLOPs take on a processor. 1,000,000 tokens where no limit is set.
_PACKING_SECONDS, _PACKING_FLOPS, _PACKED = 4e-6, 2.5e5, 1_000_000
# Rows of the common validation: on the way, and at the end, where the bias is refitted too.
_QUICK_ROWS, _FINAL_ROWS = 256, 2048
# Until the plateau is left, there are five checks for one; it is left early in a long run.
_CHECKS_BEFORE = 5
_PLATEAU_TOKENS = 600_000
_GROUPS = 7


@dataclass(frozen=True)
class Speed:
    """What a machine does in a second.

    Attributes:
        device: as `entromask.calibration.device_name`.
        layer_seconds: what a pass through one layer takes however small it is.
        flops_per_second: of the matrices.
    """

    device: str
    layer_seconds: float
    flops_per_second: float

    def seconds(self, work: Work) -> float:
        return work.layers * self.layer_seconds + work.flops / self.flops_per_second

    def data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Speed:
        """Read what `data` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        speed = cls(
            str(data["device"]), float(data["layer_seconds"]), float(data["flops_per_second"])
        )
        if speed.layer_seconds < 0 or speed.flops_per_second <= 0:
            raise ValueError("a machine has a speed above zero")
        return speed


# Of no machine: ratios to it tell the time where finished runs of the same shape are all there is.
_NOMINAL = Speed("", 5e-4, 2e10)


@dataclass(frozen=True)
class Work:
    """Passes through a layer, and FLOPs."""

    layers: float = 0.0
    flops: float = 0.0

    def __add__(self, other: Work) -> Work:
        return Work(self.layers + other.layers, self.flops + other.flops)

    def __mul__(self, times: float) -> Work:
        return Work(self.layers * times, self.flops * times)


@dataclass(frozen=True)
class Piece:
    """A part of a run.

    Attributes:
        name: of an evaluation's cell, as `Cell.name`; else empty.
        work: None where it cannot be known.
        fixed: seconds beside the work.
        shape: pieces of the same shape take as long for the same work.
        shared: pieces with the same text are done once, whichever run comes first.
    """

    stage: str
    work: Work | None
    shape: str
    name: str = ""
    fixed: float = 0.0
    shared: str | None = None

    def seconds(self, speed: Speed) -> float | None:
        return None if self.work is None else self.fixed + speed.seconds(self.work)


@dataclass(frozen=True)
class Model:
    """The shape of a model, and its cost for each token."""

    layers: int
    compute: Compute

    @classmethod
    def of(cls, architecture: str, size: str, vocabulary: int, length: int) -> Model:
        return cls(SIZES[size].layers + 1, Compute.of(architecture, size, vocabulary, length))

    def forward(self, rows: float, length: float, predicted: float, passes: float = 1) -> Work:
        """A forward pass over rows, the vocabulary's head over `predicted` positions."""
        return Work(self.layers * passes, self.compute.forward(rows * length, predicted))

    def training(self, rows: float, length: float, predicted: float, steps: float) -> Work:
        """Optimizer steps over rows in all: a backward pass is two forward passes."""
        return Work(3 * self.layers * steps, self.compute.training(rows * length, predicted))


def pieces(spec: RunSpec, tokens: int, student: Model, teacher: Model) -> list[Piece]:
    """Return the pieces of a resolved spec.

    Args:
        tokens: of the pretraining.
        teacher: of the student's own shape where its shape is not known.
    """
    return [
        *_preparing(spec),
        *_scoring(spec, teacher),
        _pretraining(spec, tokens, student, teacher),
        *_evaluating(spec, student),
        _reporting(spec, student),
    ]


def _preparing(spec: RunSpec) -> Iterator[Piece]:
    text = _key(_corpus(spec))
    tokens = spec.corpus.max_tokens or _PACKED
    work, fixed = Work(0.0, _PACKING_FLOPS * tokens), _PACKING_SECONDS * tokens
    yield Piece("preparing", Work(), "opening", fixed=_START)
    yield Piece("preparing", work, "packing", fixed=fixed, shared=f"corpus {text}")


def _corpus(spec: RunSpec) -> list[Any]:
    """What the packed corpus depends on."""
    data = spec.data()
    return [data["corpus"], data["tokenizer"], spec.pretraining.sequence_length]


def _scoring(spec: RunSpec, teacher: Model) -> Iterator[Piece]:
    """One pass of the teacher over the corpus, or one for each group of hidden positions."""
    masking, distillation = spec.masking, spec.distillation
    length, rows = _length(spec), (spec.corpus.max_tokens or _PACKED) / _length(spec)
    stored: list[tuple[int, list[Any]]] = []
    if masking.source == "teacher" and masking.refresh == "cached":
        passes = _GROUPS if masking.view == "masked" else 1
        score: list[Any] = [
            masking.view,
            "surprisal" if masking.score == "surprisal" else "entropy",
        ]
        stored.append((passes, score))
    if distillation is not None and distillation.refresh == "cached":
        stored.append((1, ["predictions", distillation.top_k, distillation.temperature]))
    for passes, what in stored if uses_teacher(spec) else ():
        batches = passes * rows / 64
        work = teacher.forward(passes * rows, length, rows * length, batches)
        of = [spec.data()["teacher"], *_corpus(spec), what]
        shape = _key([round(math.log2(teacher.compute.encoder)), what])
        yield Piece("scoring", work, shape, shared=f"scores {_key(of)}")


def _pretraining(spec: RunSpec, tokens: int, student: Model, teacher: Model) -> Piece:
    """The steps, with what each asks of a model, and the validation on the way."""
    pretraining, masking, distillation = spec.pretraining, spec.masking, spec.distillation
    length = _length(spec)
    steps = tokens / (pretraining.batch_size * length)
    flops = pretraining_flops(masking, distillation, student.compute, teacher.compute, tokens)
    passes = 3.0 * student.layers
    if masking.refresh == "fresh":
        asked = teacher if masking.source == "teacher" else student
        passes += asked.layers * (_GROUPS if masking.view == "masked" else 1)
    if distillation is not None and distillation.refresh == "fresh":
        passes += teacher.layers
    work = Work(passes * steps * pretraining.gradient_accumulation, flops)
    checks = steps / pretraining.evaluate_every + steps / pretraining.checkpoint_every
    before = min(tokens, _PLATEAU_TOKENS) / (pretraining.batch_size * length)
    checks += (_CHECKS_BEFORE - 1) * before / pretraining.evaluate_every
    work += _validation(student, length, _QUICK_ROWS) * checks
    of = spec.data()
    parts = [of["model"], of["masking"], of["distillation"]]
    shape = [*map(_shape_of, parts), _types(spec), pretraining.batch_size, length]
    return Piece("pretraining", work, _key(shape))


def _shape_of(part: Any) -> Any:
    """What of a group decides about the speed of a step."""
    if not isinstance(part, dict):
        return None
    names = ("architecture", "size", "source", "view", "refresh", "positions", "top_k")
    return {name: part[name] for name in names if name in part}


def _validation(student: Model, length: int, rows: int) -> Work:
    return student.forward(rows, length, 0.15 * rows * length, rows / 64)


def _evaluating(spec: RunSpec, student: Model) -> Iterator[Piece]:
    evaluation = spec.evaluation
    protocol = PROTOCOLS[evaluation.protocol]
    for names in groups(evaluation):
        tasks = [evaluation.task(name) for name in names]
        label = "+".join(names)
        once = _cell(spec, tasks, protocol, student)
        shape = _key([_shape_of(spec.data()["model"]), label, evaluation.protocol])
        zero_shot = tasks[0].kind == "minimal-pairs"
        seeds: Sequence[int | None] = [None] if zero_shot else evaluation.seeds
        for seed in seeds:
            end = "" if seed is None else f"-seed{seed}"
            yield Piece("evaluating", once, shape, f"{label}{end}", _START)
        if evaluation.floor:
            setup = [spec.data()["model"], *_corpus(spec), label, spec.data()["evaluation"]]
            work = None if once is None else once * len(seeds)
            name = f"{label}-floor"
            yield Piece("floors", Work(), "opening", name, _START)
            yield Piece("floors", work, shape, name, shared=f"floor {_key(setup)}")


def _cell(spec: RunSpec, tasks: Sequence[Task], protocol: Protocol, student: Model) -> Work | None:
    """One fine-tuning with its scoring; None for a task whose rows are not known."""
    sizes = [TASK_SIZES.get(task.name) for task in tasks]
    first = sizes[0]
    if first is None:
        return None
    evaluation = spec.evaluation
    if tasks[0].kind == "minimal-pairs":
        share = (evaluation.blimp_pairs or 1000) / 1000
        rows = share * first.evaluated * first.tokens
        return student.forward(rows, first.tokens, rows, rows / 64)
    length = min(first.tokens, protocol.max_length)
    trained = min(first.train, evaluation.max_train_rows or first.train)
    runs = 1 + len(protocol.rate_factors)
    steps = runs * protocol.steps(trained)
    rows = steps * protocol.batch_size
    work = student.training(rows, length, 0, steps)
    if protocol.frozen_encoder:
        work *= 1 / 3
    scored = sum(size.evaluated for size in sizes if size is not None)
    if protocol.patience is not None:
        scored *= protocol.epochs
    return work + student.forward(scored, length, 0, scored / 64)


def _reporting(spec: RunSpec, student: Model) -> Piece:
    """Opening the run again, the final validation, and the refit of the bias beside it."""
    work = _validation(student, _length(spec), 2 * _FINAL_ROWS)
    return Piece("reporting", work, "report", fixed=_START)


def _length(spec: RunSpec) -> int:
    return spec.pretraining.sequence_length


def _types(spec: RunSpec) -> Any:
    return spec.data()["tokenizer"]


def _key(parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


@dataclass(frozen=True)
class TaskSize:
    """Rows of a task, and the mean tokens of a row with its frame."""

    train: int
    evaluated: int
    tokens: int


# GLUE's own rows; tokens by a vocabulary of 8,192 types.
TASK_SIZES: dict[str, TaskSize] = {
    "cola": TaskSize(8_551, 1_043, 13),
    "sst2": TaskSize(67_349, 872, 17),
    "mrpc": TaskSize(3_668, 408, 58),
    "stsb": TaskSize(5_749, 1_500, 34),
    "qqp": TaskSize(363_846, 40_430, 33),
    "mnli": TaskSize(392_702, 19_647, 43),
    "qnli": TaskSize(104_743, 5_463, 55),
    "rte": TaskSize(2_490, 277, 75),
    "wnli": TaskSize(635, 71, 42),
    "ax": TaskSize(392_702, 1_104, 43),
    "blimp": TaskSize(0, 134_000, 12),
    "demo-order": TaskSize(1_600, 500, 27),
    "demo-pair": TaskSize(1_600, 500, 53),
}


@dataclass(frozen=True)
class Finished:
    """What a finished run really took.

    Attributes:
        device: None where it was not written down.
        seconds: by (stage, name of the piece).
    """

    pieces: Sequence[Piece]
    device: str | None
    seconds: Mapping[tuple[str, str], float]


@dataclass
class Durations:
    """Tells the seconds of pieces, by a machine's speed and by finished runs.

    Args:
        speed: None where no machine has been measured.
        finished: the newest first.
    """

    speed: Speed | None
    finished: Sequence[Finished] = ()
    _ratios: dict[tuple[str, str | None], list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        base = self.speed or _NOMINAL
        for run in self.finished:
            known = None not in (self.speed, run.device)
            if known and self.speed is not None and run.device != self.speed.device:
                continue
            for key, seconds in run.seconds.items():
                stage = key[0]
                parts = [one for one in run.pieces if (one.stage, one.name) == key]
                expected = [one.seconds(base) for one in parts]
                total = sum(value for value in expected if value is not None)
                if None in expected or not total or not seconds:
                    continue
                for shape in {None, *(one.shape for one in parts)}:
                    self._ratios.setdefault((stage, shape), []).append(seconds / total)

    def learned(self, piece: Piece) -> int:
        """Return how many measurements of this very shape there are."""
        return len(self._ratios.get((_like(piece.stage), piece.shape), ()))

    def seconds(self, piece: Piece) -> float | None:
        """Return the seconds of a piece; None where nothing tells them."""
        stage = _like(piece.stage)
        ratios = self._ratios.get((stage, piece.shape)) or self._ratios.get((stage, None))
        known = piece.seconds(self.speed or _NOMINAL)
        told = self.speed is not None or ratios or piece.stage in _SMALL
        if known is None or not told:
            return None
        return known * (median(ratios[:10]) if ratios else 1.0)


def _like(stage: str) -> str:
    """A floor is a fine-tuning like any other."""
    return "evaluating" if stage == "floors" else stage


def speed_file(device: str) -> Path:
    """Return where a device's speed is stored."""
    word = "".join(sign if sign.isalnum() else "-" for sign in device)
    return settings().root / "speed" / f"{word}.json"


def read_speed(file: Path) -> Speed | None:
    """Return a stored speed; None where there is none, or a damaged one."""
    try:
        return Speed.of(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def measured_speed() -> Speed | None:
    """Return the speed that was measured last in this ENTROMASK_HOME, None where none was."""
    files = sorted((settings().root / "speed").glob("*.json"), key=lambda one: one.stat().st_mtime)
    return next((speed for file in reversed(files) if (speed := read_speed(file))), None)

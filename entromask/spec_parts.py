"""The parts of a run's spec: which keys each has, their limits and their defaults."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from entromask.glue.tasks import TASKS
from entromask.presets import MASKING_PRESETS

Share = Annotated[float, Field(ge=0, lt=1)]
Size = Literal["tiny", "mini", "small", "medium", "base", "paper-tiny"]
Architecture = Literal["bert", "distilbert", "roberta", "electra", "modernbert"]
ProtocolName = Literal["fixed", "search", "paper-cards", "frozen"]


class Part(BaseModel):
    """A part of a spec: immutable, and no key beside the ones it declares."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), cls.model_fields, n=1)
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'{close}; allowed: {allowed}",
                        {
                            "key": str(key),
                            "close": f" (did you mean '{close[0]}'?)" if close else "",
                            "allowed": ", ".join(cls.model_fields),
                        },
                    )
        return data


def _exactly_one(part: Part, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(part, name) is not None]
    if len(given) != 1:
        raise PydanticCustomError(
            "exactly_one",
            "give exactly one of {names}; given: {given}",
            {"names": ", ".join(names), "given": ", ".join(given) or "none"},
        )


class BuiltinCorpus(Part):
    """The English documentation that ships with Python: no file, no network."""

    source: Literal["builtin"] = "builtin"
    max_tokens: int | None = Field(None, ge=1, description="use at most this many training tokens")


class LocalCorpus(Part):
    """A text file, or a folder with train.* and optionally validation.*."""

    source: Literal["local"]
    path: str = Field(min_length=1, description=".txt, .jsonl or .parquet, also .gz, or a folder")
    column: str = Field("text", description="the text column of .jsonl and .parquet")
    max_tokens: int | None = Field(None, ge=1)


class HubCorpus(Part):
    """A data set on the Hugging Face Hub, streamed."""

    source: Literal["hub"]
    name: str = Field(min_length=1)
    config: str | None = None
    split: str = "train"
    column: str = "text"
    max_tokens: int | None = Field(None, ge=1)


class UploadCorpus(Part):
    """A corpus that was uploaded to the service."""

    source: Literal["upload"]
    id: str
    max_tokens: int | None = Field(None, ge=1)


Corpus = Annotated[
    BuiltinCorpus | LocalCorpus | HubCorpus | UploadCorpus, Field(discriminator="source")
]


class TrainedTokenizer(Part):
    """An uncased WordPiece vocabulary, trained on the corpus."""

    source: Literal["train"] = "train"
    vocab_size: int = Field(8192, ge=200, le=200_000)


class LocalTokenizer(Part):
    """A Hugging Face tokenizer folder."""

    source: Literal["local"]
    path: str = Field(min_length=1)


class HubTokenizer(Part):
    """A tokenizer on the Hugging Face Hub."""

    source: Literal["hub"]
    name: str = Field(min_length=1)
    revision: str | None = None


Tokenizer = Annotated[
    TrainedTokenizer | LocalTokenizer | HubTokenizer, Field(discriminator="source")
]


class ModelReference(Part):
    """A pretrained masked language model: of a run, in a folder, or on the Hub."""

    run: str | None = Field(None, description="a run's id, or the path of its folder")
    path: str | None = Field(None, description="a Hugging Face model folder")
    hub: str | None = Field(None, description="a name on the Hugging Face Hub")
    revision: str | None = Field(None, description="of the Hub's repository")

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, ("run", "path", "hub"))
        return self

    def __str__(self) -> str:
        kind = next(kind for kind in ("run", "path", "hub") if getattr(self, kind) is not None)
        return f"{kind} {getattr(self, kind)}"


def _kind_of_init(value: Any) -> str:
    return "reference" if isinstance(value, dict | ModelReference) else "word"


Init = Annotated[
    Annotated[Literal["scratch", "teacher-complete", "teacher-embeddings"], Tag("word")]
    | Annotated[ModelReference, Tag("reference")],
    Discriminator(_kind_of_init),
]


class Model(Part):
    """The encoder to pretrain. With `init: {path | run | hub}` the model itself tells its shape."""

    architecture: Architecture | None = Field(None, description="default bert")
    size: Size | None = Field(None, description="default mini")
    init: Init = "scratch"
    dropout: float | None = Field(
        None, ge=0, lt=1, description="default: 0.0 for modernbert, 0.1 for the others"
    )


class Corruption(Part):
    """What happens to a selected position; the shares add up to 1."""

    mask: float = Field(0.8, ge=0, le=1, description="becomes the mask token")
    random: float = Field(0.1, ge=0, le=1, description="becomes a random token")
    keep: float = Field(0.1, ge=0, le=1, description="stays as it is")

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, data: Any) -> Any:
        if isinstance(data, list | tuple) and len(data) == 3:
            return dict(zip(("mask", "random", "keep"), data, strict=True))
        return data

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.mask + self.random + self.keep
        if abs(total - 1) > 1e-6:
            raise PydanticCustomError(
                "shares",
                "the shares mask, random and keep must add up to 1, not {total}",
                {"total": f"{total:g}"},
            )
        return self


class RateSchedule(Part):
    """A masking rate that changes over the run."""

    schedule: Literal["linear", "cosine", "cyclic"]
    start: float = Field(gt=0, lt=1)
    end: float = Field(gt=0, lt=1)


def _kind_of_rate(value: Any) -> str:
    return "schedule" if isinstance(value, dict | RateSchedule) else "number"


Rate = Annotated[
    Annotated[float, Field(gt=0, lt=1), Tag("number")] | Annotated[RateSchedule, Tag("schedule")],
    Discriminator(_kind_of_rate),
]


def _kind_of_warmup(value: Any) -> str:
    return "word" if isinstance(value, str) and not _is_number(value) else "number"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Warmup = Annotated[
    Annotated[Literal["plateau"], Tag("word")] | Annotated[Share, Tag("number")],
    Discriminator(_kind_of_warmup),
]


class Masking(Part):
    """score x source x view x refresh x selection x unit x rate x corruption, after a warm-up.

    A part that is not given comes from the preset; without a preset, from random masking.
    """

    preset: str | None = None
    score: Literal["uniform", "entropy", "surprisal", "frequency", "pmi", "amlm"] | None = None
    source: Literal["corpus", "teacher", "self", "self-ema"] | None = None
    view: Literal["visible", "masked"] | None = None
    refresh: Literal["fresh", "cached"] | None = None
    select: Literal["top", "bottom", "middle", "ends", "sample"] | None = None
    temperature: float | None = Field(None, gt=0, description="of select: sample")
    explore: Share | None = Field(None, description="share of the budget drawn uniformly")
    unit: Literal["token", "word", "span"] | None = None
    rate: Rate | None = Field(None, description="share of the maskable tokens of a row")
    corruption: Corruption | None = None
    warmup: Warmup | None = Field(
        None, description="uniform masks first: 'plateau' (until it is left), or a share of steps"
    )

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, name: str | None) -> str | None:
        if name is not None and name not in MASKING_PRESETS:
            close = difflib.get_close_matches(name, MASKING_PRESETS, n=1)
            raise PydanticCustomError(
                "unknown_preset",
                "no masking preset '{name}'{close}; allowed: {allowed}",
                {
                    "name": name,
                    "close": f" (did you mean '{close[0]}'?)" if close else "",
                    "allowed": ", ".join(MASKING_PRESETS),
                },
            )
        return name

    def resolved(self) -> Masking:
        """The same masking with every part written out."""
        base: dict[str, Any] = {
            "score": "uniform",
            "select": "sample",
            "explore": 0.0,
            "unit": "token",
            "rate": 0.15,
            "corruption": Corruption(),
            "warmup": 0.0,
        }
        given = {name: getattr(self, name) for name in self.model_fields_set}
        given = {name: value for name, value in given.items() if value is not None}
        preset = given.get("preset") or (None if "score" in given else "random")
        parts = base | (MASKING_PRESETS[preset].parts if preset else {}) | given
        parts["preset"] = preset
        score = parts["score"]
        parts.setdefault("temperature", _TEMPERATURES.get(score, 1.0))
        if score == "uniform":
            parts |= {"source": None, "view": None, "refresh": None}
        elif score in ("frequency", "pmi"):
            parts.setdefault("source", "corpus")
            parts |= {"view": None, "refresh": None}
        else:
            parts.setdefault("source", "teacher")
            of_teacher = parts["source"] == "teacher"
            parts.setdefault("view", "masked" if of_teacher else "visible")
            parts.setdefault("refresh", "cached" if of_teacher else "fresh")
            if not of_teacher and "warmup" not in given:
                parts["warmup"] = "plateau"
        return Masking(**parts)


# frequency: weights count^-0.5 (WSBERT, arXiv:2302.14225). Entropy in nats spans about ln V = 9
# to 10, and at 1 a few positions of a row take nearly all the weight; at 3 the odds between a
# certain and an uncertain position are about 1 to 20.
_TEMPERATURES = {"frequency": 2.0, "entropy": 3.0}


class Distillation(Part):
    """L = (1 - weight) L_mlm + weight T^2 KL(teacher_T || student_T)."""

    weight: float = Field(0.5, ge=0, le=1)
    temperature: float = Field(2.0, gt=0)
    positions: Literal["masked", "all"] = "masked"
    top_k: int | None = Field(None, ge=1)


class Budget(Part):
    """How long to pretrain: exactly one of the four."""

    steps: int | None = Field(None, ge=1)
    epochs: float | None = Field(None, gt=0)
    tokens: int | None = Field(None, ge=1)
    minutes: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, ("steps", "epochs", "tokens", "minutes"))
        return self


class Pretraining(Part):
    """AdamW with linear warm-up and decay on packed rows."""

    budget: Budget = Budget(steps=3000)
    batch_size: int = Field(64, ge=1, description="rows of one optimizer step, over all devices")
    sequence_length: int = Field(128, ge=8, le=8192)
    learning_rate: float = Field(1e-3, gt=0)
    warmup: Share = Field(0.06, description="share of the budget")
    weight_decay: float = Field(0.01, ge=0)
    gradient_accumulation: int = Field(
        1, ge=1, description="parts that a batch is split into; does not change its size"
    )
    gradient_clipping: float | None = Field(1.0, gt=0, description="largest gradient norm")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    checkpoint_every: int = Field(500, ge=1, description="steps")
    evaluate_every: int = Field(250, ge=1, description="steps")

    @model_validator(mode="after")
    def _whole_parts(self) -> Self:
        if self.gradient_accumulation > self.batch_size:
            raise PydanticCustomError(
                "accumulation",
                "gradient_accumulation ({parts}) cannot exceed batch_size ({rows})",
                {"parts": self.gradient_accumulation, "rows": self.batch_size},
            )
        return self


class TaskSource(Part):
    """Where GLUE and BLiMP come from: local folders, or a data set on the Hub."""

    local: str | list[str] | None = Field(None, description="DIR/<task>/<split>.jsonl|parquet|tsv")
    hub: str | None = Field(None, description="nyu-mll/glue, or a copy of it")

    @model_validator(mode="after")
    def _one(self) -> Self:
        _exactly_one(self, ("local", "hub"))
        return self

    @property
    def folders(self) -> list[str]:
        return [self.local] if isinstance(self.local, str) else list(self.local or ())


class Evaluation(Part):
    """Fine-tuning and zero-shot evaluation of the pretrained model."""

    tasks: list[str] = Field(default_factory=list)
    source: TaskSource | None = Field(None, description="default: ENTROMASK_GLUE_DIR, else the Hub")
    protocol: ProtocolName = "fixed"
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        default=[0, 1, 2], min_length=1, description="fine-tuning seeds"
    )
    floor: bool = Field(True, description="also score the same model without pretraining")
    blimp_pairs: int | None = Field(
        None, ge=1, le=1000, description="pairs of each BLiMP paradigm; default all 1,000"
    )

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in TASKS:
                raise PydanticCustomError(
                    "unknown_task",
                    "no task '{name}'; allowed: {allowed}",
                    {"name": name, "allowed": ", ".join(TASKS)},
                )
        return list(dict.fromkeys(names))

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise PydanticCustomError(
                "seeds", "seeds must be distinct, not {seeds}", {"seeds": str(seeds)}
            )
        return seeds

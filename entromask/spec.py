"""RunSpec: the one description of a run, shared by YAML files, command line and Python."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from entromask.compatibility import check_together
from entromask.errors import InputError
from entromask.parts.base import Part
from entromask.parts.data import (
    BuiltinCorpus,
    Corpus,
    HubCorpus,
    HubTokenizer,
    LocalCorpus,
    LocalTokenizer,
    Tokenizer,
    TrainedTokenizer,
    UploadCorpus,
)
from entromask.parts.document import Document
from entromask.parts.evaluation import Evaluation, TaskSource
from entromask.parts.masking import Corruption, Masking, RateSchedule
from entromask.parts.model import Model, ModelReference
from entromask.parts.training import Budget, Distillation, Pretraining
from entromask.spec_errors import HINT, Location, SpecError

# What the rest of the package takes from here: a spec with its parts.
__all__ = [
    "Budget",
    "BuiltinCorpus",
    "Corpus",
    "Corruption",
    "Distillation",
    "Evaluation",
    "HubCorpus",
    "HubTokenizer",
    "LocalCorpus",
    "LocalTokenizer",
    "Masking",
    "Model",
    "ModelReference",
    "Part",
    "Pretraining",
    "RateSchedule",
    "RunSpec",
    "SpecError",
    "TaskSource",
    "Tokenizer",
    "TrainedTokenizer",
    "UploadCorpus",
    "run_folder",
]


# The keys of every spec that this program ever wrote out.
_WRITTEN_OUT = (
    "name",
    "seed",
    "tags",
    "corpus",
    "tokenizer",
    "model",
    "teacher",
    "masking",
    "distillation",
    "pretraining",
    "evaluation",
)


class RunSpec(Document):
    """The one description of a run: corpus, model, masking, pretraining, evaluation."""

    WHAT = "spec"
    EXAMPLE = "examples/quick.yaml"
    HINT = HINT

    name: str = Field(
        "run", min_length=1, max_length=200, description="shown in tables; no part of the method"
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="initialisation, data order, masks")
    tags: list[str] = Field(default_factory=list, description="free words, to find runs by")
    corpus: Corpus = Field(BuiltinCorpus(), description="the text")
    tokenizer: Tokenizer | None = Field(
        None, description="default: that of model.init or of the teacher, else trained, 8,192 types"
    )
    model: Model = Field(Model(), description="the encoder to pretrain")
    teacher: ModelReference | None = Field(
        None,
        description="a pretrained masked LM with the same tokenizer, for teacher-* masking, "
        "distillation and model.init teacher-*",
    )
    masking: Masking = Field(Masking(), description="which tokens are predicted")
    distillation: Distillation | None = Field(
        None, description="learn the teacher's predictions beside the text"
    )
    pretraining: Pretraining = Field(Pretraining(), description="budget, batches, optimizer")
    evaluation: Evaluation = Field(Evaluation(), description="tasks and fine-tuning")

    @model_validator(mode="before")
    @classmethod
    def _read_former(cls, data: Any) -> Any:
        """Keep the meaning of a spec that was written out before tokenizers had more keys.

        Such a spec has every key of its time, unlike one that somebody writes.
        """
        if not isinstance(data, dict) or not all(name in data for name in _WRITTEN_OUT):
            return data
        tokenizer = data["tokenizer"]
        if isinstance(tokenizer, dict) and set(tokenizer) == {"source", "vocab_size"}:
            return {**data, "tokenizer": {**tokenizer, "strip_accents": None}}
        return data

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write a former tokenizer as it was written then: hashes of specs stay."""
        data: dict[str, Any] = handler(self)
        tokenizer = self.tokenizer
        if isinstance(tokenizer, TrainedTokenizer) and tokenizer.strip_accents is None:
            for name in ("algorithm", "lowercase", "strip_accents"):
                data.get("tokenizer", {}).pop(name, None)
        return data

    def resolved(self) -> RunSpec:
        """The same spec with every default written out; resolving twice changes nothing.

        Raises:
            SpecError: parts that do not fit together, or a run that is not there.
        """
        model, tokenizer = self.model, self.tokenizer
        if isinstance(model.init, ModelReference):
            for name in ("architecture", "size", "dropout"):
                if getattr(model, name) is not None:
                    raise SpecError.at(
                        ("model", name),
                        f"model.{name} '{getattr(model, name)}' cannot be set together with "
                        f"model.init ({model.init}), which brings its own",
                        f"remove model.{name}, or set model.init to scratch",
                    )
            tokenizer = tokenizer or _tokenizer_of(model.init, ("model", "init"))
        else:
            architecture = model.architecture or "bert"
            dropout = 0.0 if architecture == "modernbert" else 0.1
            model = Model(
                architecture=architecture,
                size=model.size or "mini",
                init=model.init,
                dropout=dropout if model.dropout is None else model.dropout,
            )
            if tokenizer is None and self.teacher is not None:
                tokenizer = _tokenizer_of(self.teacher, ("teacher",))
        spec = self.model_copy(
            update={
                "model": model,
                "tokenizer": tokenizer or TrainedTokenizer(),
                "masking": self.masking.resolved(),
                "distillation": self.distillation and self.distillation.resolved(),
            }
        )
        check_together(spec)
        return spec

    @property
    def spec_hash(self) -> str:
        """SHA-256 of the resolved spec."""
        return _sha256(self.resolved().data())

    @property
    def group_hash(self) -> str:
        """SHA-256 of the resolved spec without seed, name and tags: the method, not the run."""
        data = self.resolved().data()
        return _sha256({k: v for k, v in data.items() if k not in ("seed", "name", "tags")})


def _tokenizer_of(reference: ModelReference, place: Location) -> LocalTokenizer | HubTokenizer:
    if reference.hub is not None:
        return HubTokenizer(source="hub", name=reference.hub, revision=reference.revision)
    if reference.path is not None:
        return LocalTokenizer(source="local", path=reference.path)
    try:
        folder = run_folder(str(reference.run))
    except InputError as error:
        raise SpecError.at((*place, "run"), error.message, str(error.hint)) from None
    # A run's tokenizer lies beside its model.
    step = reference.checkpoint
    place_of_it = folder / ("model" if step is None else f"checkpoints/step-{step}")
    return LocalTokenizer(source="local", path=str(place_of_it))


def run_folder(run: str) -> Path:
    """The folder of a run named by its id or by a path.

    Raises:
        InputError: there is no such folder.
    """
    from entromask.settings import settings

    candidates = [Path(run).expanduser(), settings().runs / run]
    for folder in candidates:
        if (folder / "spec.yaml").is_file():
            return folder
    raise InputError(
        f"no run '{run}': neither {candidates[0]} nor {candidates[1]} holds a spec.yaml",
        "give a run's folder, or a folder name under ENTROMASK_HOME/runs",
    )


def _sha256(data: Any) -> str:
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

"""The encoder of a run, and how a spec names a model that exists."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from entromask.parts.base import Part, exactly_one

Size = Literal["tiny", "mini", "small", "medium", "base", "paper-tiny"]
Architecture = Literal["bert", "distilbert", "roberta", "electra", "modernbert"]


class ModelReference(Part):
    """A pretrained masked language model: of a run, in a folder, or on the Hub."""

    run: str | None = Field(None, description="a run's id, or the path of its folder")
    path: str | None = Field(None, description="a Hugging Face model folder")
    hub: str | None = Field(None, description="a name on the Hugging Face Hub")
    revision: str | None = Field(None, description="of the Hub's repository")
    checkpoint: int | None = Field(
        None, ge=0, description="the step of one of the run's checkpoints"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("run", "path", "hub"))
        if self.checkpoint is not None and self.run is None:
            raise PydanticCustomError(
                "checkpoint_of_a_run",
                "a checkpoint goes with run, not with {kind}",
                {"kind": self._kind},
            )
        return self

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """No key `checkpoint` where there is none: the hashes of specs are older than the key."""
        data: dict[str, Any] = handler(self)
        if self.checkpoint is None:
            data.pop("checkpoint", None)
        return data

    @property
    def _kind(self) -> str:
        return next(kind for kind in ("run", "path", "hub") if getattr(self, kind) is not None)

    def __str__(self) -> str:
        at = "" if self.checkpoint is None else f" at step {self.checkpoint}"
        return f"{self._kind} {getattr(self, self._kind)}{at}"


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
    init: Init = Field(
        "scratch",
        description="`scratch`; `teacher-complete` (every layer that fits, from evenly spaced "
        "layers of the teacher); `teacher-embeddings`; or a model to continue from: `{path}`, "
        "`{run}`, `{run, checkpoint}` or `{hub}`",
    )
    dropout: float | None = Field(
        None, ge=0, lt=1, description="default: 0.0 for modernbert, 0.1 for the others"
    )

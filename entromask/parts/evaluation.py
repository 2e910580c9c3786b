"""What the pretrained model is fine-tuned and evaluated on."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from entromask.glue.tasks import TASKS
from entromask.parts.base import Part, exactly_one

ProtocolName = Literal["fixed", "search", "paper-cards", "frozen"]


class TaskSource(Part):
    """Where GLUE and BLiMP come from: local folders, or a data set on the Hub."""

    local: str | list[str] | None = Field(None, description="DIR/<task>/<split>.jsonl|parquet|tsv")
    hub: str | None = Field(None, description="nyu-mll/glue, or a copy of it")

    @model_validator(mode="after")
    def _one(self) -> Self:
        exactly_one(self, ("local", "hub"))
        return self

    @property
    def folders(self) -> list[str]:
        return [self.local] if isinstance(self.local, str) else list(self.local or ())


class Evaluation(Part):
    """Fine-tuning and zero-shot evaluation of the pretrained model."""

    tasks: list[str] = Field(default_factory=list, description="task names; none: no evaluation")
    source: TaskSource | None = Field(None, description="default: ENTROMASK_GLUE_DIR, else the Hub")
    protocol: ProtocolName = Field("fixed", description="a row of the table of protocols")
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

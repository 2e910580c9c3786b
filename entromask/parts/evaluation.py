"""What the pretrained model is fine-tuned and evaluated on."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from entromask.glue.tasks import FROM_MNLI, TASKS, Task
from entromask.parts.base import Part, exactly_one
from entromask.parts.user_task import UserTask, check_name

ProtocolName = Literal["fixed", "search", "paper-cards", "frozen"]


class TaskSource(Part):
    """Where GLUE and BLiMP come from: local folders, or a data set on the Hub."""

    local: str | list[str] | None = Field(
        None, description="DIR/<task>/<split>.jsonl|json|csv|tsv|parquet"
    )
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

    # Before `tasks`, which may name them.
    user_tasks: dict[str, UserTask] = Field(
        default_factory=dict,
        description="tasks of your own by name: `{path, columns, labels, metrics, train, split, "
        "test}`; they run if `tasks` names them, and are never part of a GLUE mean",
    )
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
    max_train_rows: int | None = Field(
        None,
        ge=2,
        description="at most so many training rows of each task, the same random ones for every "
        "seed; default all",
    )
    intermediate: Literal["mnli"] | None = Field(
        None,
        description="`mnli`: RTE, MRPC and STS-B start from the model fine-tuned on MNLI with the "
        "same seed (arXiv:1811.01088)",
    )
    predict_test: bool = Field(
        False,
        description="also predict the test splits, for `entromask leaderboard`; they need no "
        "labels",
    )

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """No key where nothing is asked for: the hashes of specs are older than these keys."""
        data: dict[str, Any] = handler(self)
        for name in ("user_tasks", "max_train_rows", "intermediate", "predict_test"):
            if not getattr(self, name):
                data.pop(name, None)
        return data

    @field_validator("user_tasks")
    @classmethod
    def _own_names(cls, tasks: dict[str, UserTask]) -> dict[str, UserTask]:
        for name in tasks:
            check_name(name)
        return tasks

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, names: list[str], info: ValidationInfo) -> list[str]:
        # Where a user task is faulty, that is said instead.
        own = info.data.get("user_tasks")
        for name in names:
            if name not in TASKS and own is not None and name not in own:
                raise PydanticCustomError(
                    "unknown_task",
                    "no task '{name}'; allowed: {allowed}",
                    {"name": name, "allowed": ", ".join([*TASKS, *own])},
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

    @model_validator(mode="after")
    def _intermediate_is_used(self) -> Self:
        if self.intermediate is None:
            return self
        if not set(FROM_MNLI) & set(self.tasks):
            raise PydanticCustomError(
                "intermediate",
                "intermediate mnli is for {tasks}, and tasks names none of them",
                {"tasks": ", ".join(FROM_MNLI)},
            )
        if self.protocol == "frozen":
            raise PydanticCustomError(
                "intermediate",
                "intermediate mnli does not fit the protocol frozen, under which MNLI would leave "
                "the encoder as it is",
            )
        return self

    def task(self, name: str) -> Task:
        """A task that `tasks` may name: a row of the table, or the user's own."""
        return TASKS[name] if name in TASKS else self.user_tasks[name].task(name)

"""ExperimentSpec: the one description of an experiment, shared by YAML files, API and dashboard."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator

from entromask.parts.base import Part
from entromask.parts.document import Document

Settings = dict[str, Any]
Label = Annotated[str, Field(min_length=1, max_length=100)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]

# A plan of more runs than this is a slip of the pen.
MOST_RUNS = 5000


class Controls(Part):
    """The runs without which a difference says little; see docs/experiments.md."""

    no_pretraining: bool = Field(
        True, description="the same model with random weights, fine-tuned alike: the floor"
    )
    frequency: bool = Field(
        True, description="masking by corpus frequency: what a strategy gains without any model"
    )
    equal_compute: bool = Field(
        True,
        description="the baseline with as many more steps as a method costs more floating-point "
        "operations, for each such cost",
    )


class ExperimentSpec(Document):
    """Methods x pretraining seeds: what they share, what they differ in, what they are held to."""

    WHAT = "experiment"
    EXAMPLE = "examples/experiment-local.yaml"
    HINT = f"start from {EXAMPLE}; `entromask schema --experiment` prints the keys"

    name: str = Field("experiment", min_length=1, max_length=200, description="shown in lists")
    description: str = Field("", max_length=20_000, description="the question, in your words")
    base: Settings = Field(
        default_factory=dict, description="a RunSpec: what all runs share; keys may be dotted"
    )
    methods: dict[Label, Settings] = Field(
        default_factory=dict,
        description="by name, the keys of the spec that a method sets: `{masking.preset: random}`",
    )
    matrix: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="by dotted key of the spec, its values: every combination is a method, and "
        "with `methods` each of them at every combination",
    )
    teachers: dict[Label, Settings] = Field(
        default_factory=dict,
        description="by name, single runs that come first; `teacher: {run: NAME}` names one in "
        "any other spec of the experiment, and a method's name its run with the same seed",
    )
    seeds: list[Seed] = Field(
        default=[0, 1, 2], min_length=1, max_length=1000, description="pretraining seeds"
    )
    baseline: str | Settings | None = Field(
        None,
        description="what the others are compared with: a method's name, or values of keys of the "
        "matrix (the other keys then vary in pairs); default: random masking",
    )
    controls: Controls = Field(Controls(), description="runs beside the methods")

    @field_validator("controls", mode="before")
    @classmethod
    def _all_or_none(cls, value: Any) -> Any:
        """`true` or `false` for all of them."""
        if isinstance(value, bool):
            return dict.fromkeys(Controls.model_fields, value)
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError(f"seeds must be distinct, not {seeds}")
        return seeds

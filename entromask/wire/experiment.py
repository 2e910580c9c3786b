"""An experiment, as it is asked for and answered."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from entromask.wire.base import Request, Resource
from entromask.wire.summary import CellRole


class ExperimentCellRun(Resource):
    """A run of a cell."""

    id: str
    seed: int
    status: str
    reused: bool = Field(False, description="it had succeeded before the experiment")
    stage: str | None = None
    fraction: float | None = Field(None, description="done of the current stage")


class ExperimentCell(Resource):
    """A method, a control or a teacher, with the runs of its seeds."""

    key: str
    label: str
    role: CellRole
    settings: dict[str, Any] = Field(description="the dotted keys that it sets over the base")
    baseline: str | None = Field(None, description="the key of the cell it is compared with")
    matched: str | None = Field(None, description="the key of the control at equal compute")
    runs: list[ExperimentCellRun]


class Experiment(Resource):
    """Methods x seeds on their way to a report."""

    id: str
    object: Literal["experiment"] = "experiment"
    name: str
    status: Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
    spec: dict[str, Any]
    tags: list[str]
    notes: str
    priority: int
    created_at: float
    runs: dict[str, int] = Field(description="how many runs there are in each status")
    total: int = Field(description="how many runs there are to be")
    fraction: float = Field(description="share of the runs that are over")
    plan_notes: list[str] = Field([], description="what was said when it was planned")
    cells: list[ExperimentCell] = Field([], description="left out of lists")


class NewExperiment(Request):
    """What POST /v1/experiments takes."""

    spec: dict[str, Any] = Field(
        description="an ExperimentSpec; `entromask schema --experiment` prints its schema"
    )
    tags: list[str] = Field(default=[], max_length=50, description="of each run that is made")
    notes: str = Field("", max_length=20_000)
    priority: int = Field(5, ge=0, le=9, description="of its runs; 0 is served first")


class ExperimentExtension(Request):
    """What POST /v1/experiments/{id}/extend takes: what comes to what is there."""

    seeds: list[int] = Field(default=[], max_length=1000)
    methods: dict[str, dict[str, Any]] = Field(default={})
    matrix: dict[str, list[Any]] = Field(
        default={}, description="more values of keys that the matrix has"
    )


class PlannedCell(Resource):
    """A cell of a plan, and what one run of it costs."""

    key: str
    label: str
    role: CellRole
    settings: dict[str, Any]
    baseline: str | None = None
    matched: str | None = None
    seeds: list[int]
    reused: int = Field(description="runs that exist already")
    tokens: int | None = None
    flops: float | None = None
    seconds: float | None = Field(
        None, description="of one run, without what runs before it have done already"
    )


class ExperimentPlan(Resource):
    """The answer to POST /v1/experiments?validate_only=true: nothing was stored."""

    object: Literal["experiment.plan"] = "experiment.plan"
    name: str
    cells: list[PlannedCell]
    total: int = Field(description="runs")
    new: int = Field(description="runs to be done")
    jobs: int = Field(description="pieces of work of the new runs, as workers take them")
    tokens: int | None = Field(None, description="of pretraining, of all new runs")
    flops: float | None = Field(None, description="of pretraining, of all new runs")
    seconds: float | None = Field(None, description="of all new runs, on one worker")
    warnings: list[str]

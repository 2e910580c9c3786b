"""What an experiment found: methods x measures over seeds, with tests, costs and curves."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from entromask.wire.base import Resource
from entromask.wire.comparison import UntrainedFloor

ReportFormat = Literal["json", "md", "csv", "latex", "html"]
CellRole = Literal["baseline", "method", "control", "teacher"]


class SummaryMeasure(Resource):
    """A quantity that methods are compared by."""

    key: str = Field(examples=["rte", "glue8", "loss"])
    label: str
    kind: Literal["task", "average", "loss"]
    unit: Literal["score", "nats"]
    higher_is_better: bool
    tasks: list[str] = Field(description="that it is the mean of; itself for a task; none: a loss")
    rows: int | None = Field(None, description="scored examples; null where methods differ in it")
    majority: float | None = Field(None, description="the floor of the majority class")
    untrained: UntrainedFloor | None = None


class SummaryDifference(Resource):
    """A method's mean less that of the cell `to`; the interval is of the summary's `level`."""

    to: str = Field(description="the key of the cell that it is compared with")
    at: Literal["steps", "compute"] = Field(description="what the two have in common")
    n: int = Field(description="pretraining seeds: pairs, or those of the smaller side")
    paired: bool = Field(description="whether by pretraining seed")
    mean: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = Field(None, description="two-sided; null where n is 1")
    p_holm: float | None = Field(None, description="corrected over all tests of the summary")
    probability_of_improvement: float | None = None
    seeds_for_difference: int | None = Field(
        None, description="pretraining seeds that show a difference of this size, at power 0.8"
    )
    seeds_for_point: int | None = Field(
        None, description="the same for a difference of 0.01; null for losses"
    )
    seeds_for_difference_range: list[int | None] | None = Field(
        None,
        description="[low, high] of seeds_for_difference: by the variance of the seeds at the 5 % "
        "and 95 % quantiles of its estimate; an end is null where more than 1,000 are needed, the "
        "whole where nothing shows how scores vary",
    )
    seeds_for_point_range: list[int | None] | None = Field(
        None, description="the same of seeds_for_point; null for losses"
    )


class SummaryResult(Resource):
    """One method's runs by one measure."""

    measure: str
    n: int = Field(description="pretraining seeds with a number")
    mean: float
    sd: float | None = None
    median: float
    low: float | None = None
    high: float | None = None
    per_seed: dict[str, float]
    collapsed: int | None = Field(
        None, description="runs at or under the majority floor, in n; null where it has none"
    )
    above_floors: bool | None = Field(
        None, description="whether the mean is above the majority class and the untrained model"
    )
    best: bool = Field(
        False, description="the best of those with the same baseline, where it ranks"
    )
    differences: list[SummaryDifference] = Field([])


class SummaryCost(Resource):
    """What pretraining cost, means over the finished runs; FLOPs with the teacher's passes."""

    tokens: float | None = None
    flops: float | None = Field(None, description="of pretraining, teacher's passes included")
    seconds: float | None = None
    tokens_per_second: float | None = None
    scoring_flops: float | None = Field(None, description="of the teacher's scores, once")
    scoring_seconds: float | None = None
    relative: dict[str, float] = Field(
        {}, description="to the baseline's; scoring_flops to its flops, scoring_seconds to seconds"
    )


class CurvePoint(Resource):
    """Losses on the common validation masks at one step, over the seeds that have it."""

    step: int
    n: int
    mean: float
    low: float
    high: float


class SummaryRun(Resource):
    """A run of a cell."""

    id: str | None = None
    seed: int
    status: str


class SummaryCell(Resource):
    """A method, control, baseline or teacher, with its runs."""

    key: str
    label: str
    role: CellRole
    pretrained: bool = Field(True, description="false: the control without pretraining")
    settings: dict[str, Any]
    baseline: str | None = None
    matched: str | None = Field(None, description="random masking at this cell's compute")
    runs: list[SummaryRun]
    results: list[SummaryResult] = Field([])
    cost: SummaryCost | None = None
    curve: list[CurvePoint] = Field([], description="the band is the range over seeds")


class RunCounts(Resource):
    """How many of the planned runs are where."""

    planned: int
    succeeded: int
    failed: int
    cancelled: int
    unfinished: int


class ExperimentSummary(Resource):
    """The answer to GET /v1/experiments/{id}/summary."""

    object: Literal["experiment.summary"] = "experiment.summary"
    id: str
    name: str
    status: str
    created_at: float | None = None
    level: float = Field(0.95, description="of the intervals")
    tests: int = Field(0, description="over how many tests p was corrected by Holm's method")
    runs: RunCounts
    measures: list[SummaryMeasure]
    cells: list[SummaryCell]
    power: str = Field("", description="what this number of seeds can show, in words")
    methods_paragraph: str = Field("", description="for a paper")
    notes: list[str] = Field([], description="what to know before believing it, gravest first")
    warnings: list[str] = Field([], description="what the runs say of themselves")

"""What the API sends and takes, as types: shared by the server and its client.

Times are Unix times in seconds. Scores are between 0 and 1 (correlations between -1 and 1),
losses and entropies in nats.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from entromask.text.unicode import replace_surrogates
from entromask.wire.base import Page, Request, Resource
from entromask.wire.comparison import (
    MOST_COMPARED,
    MOST_IN_GROUPS,
    ComparedRun,
    CompareRequest,
    Comparison,
    ComparisonColumn,
    ComparisonRow,
    ComparisonValue,
    KeyDifference,
    UntrainedFloor,
)
from entromask.wire.experiment import (
    Experiment,
    ExperimentCell,
    ExperimentCellRun,
    ExperimentExtension,
    ExperimentPlan,
    NewExperiment,
    PlannedCell,
)
from entromask.wire.service import ApiKey, Disk, Health, Queue, Role, Worker
from entromask.wire.summary import (
    CellRole,
    CurvePoint,
    ExperimentSummary,
    ReportFormat,
    RunCounts,
    SummaryCell,
    SummaryCost,
    SummaryDifference,
    SummaryMeasure,
    SummaryResult,
    SummaryRun,
)

# Beside what stands here: what stands in the modules of `entromask.wire`.
__all__ = [
    "MOST_COMPARED",
    "MOST_IN_GROUPS",
    "ApiKey",
    "CellRole",
    "CompareRequest",
    "ComparedRun",
    "Comparison",
    "ComparisonColumn",
    "ComparisonRow",
    "ComparisonValue",
    "CurvePoint",
    "Disk",
    "Experiment",
    "ExperimentCell",
    "ExperimentCellRun",
    "ExperimentExtension",
    "ExperimentPlan",
    "ExperimentSummary",
    "Health",
    "KeyDifference",
    "NewExperiment",
    "Page",
    "PlannedCell",
    "Queue",
    "ReportFormat",
    "Request",
    "Resource",
    "Role",
    "RunCounts",
    "SummaryCell",
    "SummaryCost",
    "SummaryDifference",
    "SummaryMeasure",
    "SummaryResult",
    "SummaryRun",
    "UntrainedFloor",
    "Worker",
]

RunStatus = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]
Reason = Literal[
    "user_error",
    "cuda_oom",
    "host_oom",
    "worker_lost",
    "timeout",
    "nan_loss",
    "dependency_missing",
    "disk_full",
    "internal",
]

# Nothing happens to a run in one of these any more unless a user asks for it.
OVER: tuple[RunStatus, ...] = ("succeeded", "failed", "cancelled")
# 0 is served first.
HIGHEST_PRIORITY, DEFAULT_PRIORITY, LOWEST_PRIORITY = 0, 5, 9


class ProblemEntry(Resource):
    """One thing that is wrong with a request."""

    pointer: str = Field(description="a JSON pointer into the body, or the name of a parameter")
    detail: str


class Problem(Resource):
    """RFC 9457: why a request was not done."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(description="a word that programs can rely on")
    hint: str | None = None
    errors: list[ProblemEntry] = Field([])


class Progress(Resource):
    """How far the current stage is."""

    step: int | None = None
    total: int | None = None
    fraction: float | None = None
    tokens_per_second: float | None = None
    eta_seconds: float | None = None


class RunError(Resource):
    """Why a run failed, and what to do."""

    code: str
    message: str
    hint: str | None = None


class Run(Resource):
    """A run: one spec on its way from the queue to its results."""

    id: str
    object: Literal["run"] = "run"
    name: str
    status: RunStatus
    reason: Reason | None = None
    error: RunError | None = None
    stage: str | None = None
    progress: Progress | None = None
    spec: dict[str, Any]
    spec_hash: str
    group_hash: str
    seed: int
    strategy: str | None = None
    experiment_id: str | None = None
    tags: list[str]
    notes: str
    priority: int
    attempt: int
    worker: str | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    metrics: dict[str, float | None]
    scores: dict[str, float] = Field(description="by task, and the averages that there are")
    warnings: list[str]


class NewRun(Request):
    """What POST /v1/runs takes."""

    spec: dict[str, Any] = Field(description="a RunSpec; `entromask schema` prints its schema")
    tags: list[str] = Field(default=[], max_length=50)
    notes: str = Field("", max_length=20_000)
    priority: int = Field(
        DEFAULT_PRIORITY, ge=HIGHEST_PRIORITY, le=LOWEST_PRIORITY, description="0 is served first"
    )


class RunChange(Request):
    """What PATCH /v1/runs/{id} takes; what is left out stays."""

    name: str | None = Field(None, min_length=1, max_length=200)
    tags: list[str] | None = Field(None, max_length=50)
    notes: str | None = Field(None, max_length=20_000)
    priority: int | None = Field(None, ge=HIGHEST_PRIORITY, le=LOWEST_PRIORITY)


class CloneRequest(Request):
    """What POST /v1/runs/{id}/clone takes: changes of the spec by dotted key."""

    overrides: dict[str, Any] = Field(default={}, examples=[{"seed": 1}])
    tags: list[str] | None = None
    notes: str | None = None
    priority: int | None = Field(None, ge=HIGHEST_PRIORITY, le=LOWEST_PRIORITY)


class Estimate(Resource):
    """What a run will cost; null where it cannot be known before it has begun."""

    tokens: int | None = None
    steps: int | None = None
    parameters: int | None = None
    flops: float | None = None
    seconds: float | None = Field(None, description="of the whole run, on one worker")
    stages: dict[str, float] = Field(
        default_factory=dict, description="seconds by stage, of the stages whose time is known"
    )
    basis: str = Field(description="what the figures rest on, in words")


class Validation(Resource):
    """The answer to POST /v1/runs?validate_only=true: nothing was stored."""

    object: Literal["run.validation"] = "run.validation"
    spec: dict[str, Any] = Field(description="with every default written out")
    spec_hash: str
    group_hash: str
    estimate: Estimate
    warnings: list[str]


class Event(Resource):
    """An event of a run; `seq` has no gaps."""

    object: Literal["run.event"] = "run.event"
    seq: int
    time: str
    type: str
    stage: str | None = None
    step: int | None = None
    total: int | None = None
    metrics: dict[str, Any] | None = None
    message: str | None = None
    source: str = "run"


class Series(Resource):
    """A metric's history, thinned to at most `max_points`; `points` is how many there are."""

    steps: list[int]
    values: list[float | None]
    points: int


class MetricHistory(Resource):
    """The answer to GET /v1/runs/{id}/metrics."""

    object: Literal["run.metrics"] = "run.metrics"
    run: str
    series: dict[str, Series]


class Artifact(Resource):
    """A file of a run."""

    object: Literal["artifact"] = "artifact"
    path: str
    size: int
    modified_at: float


class Corpus(Resource):
    """An uploaded corpus: `corpus: {source: upload, id: ID}` in a spec."""

    id: str
    object: Literal["corpus"] = "corpus"
    name: str
    format: str
    size: int
    sha256: str
    created_at: float


class Model(Resource):
    """A model that specs and previews can name by `reference`."""

    id: str
    object: Literal["model"] = "model"
    name: str
    reference: dict[str, Any] = Field(examples=[{"run": "run_0193f2a1c4b27d1e9a4c3b2f"}])
    architecture: str | None = None
    created_at: float


class NewModel(Request):
    """What POST /v1/models takes: a local folder or a name on the Hub."""

    name: str | None = Field(None, min_length=1, max_length=200)
    path: str | None = None
    hub: str | None = None
    revision: str | None = None


def _unicode(text: Any) -> Any:
    return replace_surrogates(text)[0] if isinstance(text, str) else text


class PreviewRequest(Request):
    """What POST /v1/previews takes."""

    text: Annotated[str, BeforeValidator(_unicode)] = Field(
        max_length=100_000, description="half of a surrogate pair is read as U+FFFD"
    )
    model: dict[str, Any] = Field(
        description="{run: ID} | {run: ID, checkpoint: STEP} | {path: FOLDER} | {hub: NAME}; a "
        "checkpoint also of a run that is not finished"
    )
    presets: list[str] = Field(default=[], max_length=40)
    rate: float | None = Field(None, gt=0, lt=1)
    seed: int = Field(0, ge=0, le=2**32 - 1)
    masked: list[int] = Field(default=[], description="token positions to hide", max_length=10_000)
    progress: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of a run that is done, for rates with a schedule; default: that of the "
        "checkpoint, where one is named, else 0",
    )


class Preview(Resource):
    """The answer to POST /v1/previews; entropies and surprisals in nats."""

    object: Literal["preview"] = "preview"
    seed: int
    progress: float = Field(0.0, description="share of a run that is done, for which rates hold")
    max_entropy: float = Field(description="ln of the vocabulary's size")
    tokens: list[dict[str, Any]]
    presets: list[dict[str, Any]]
    agreement: Any = Field(
        None,
        description="between the presets' masks: {presets, overlap, chance}; overlap [i][j] is "
        "2 sum(min(p, q)) / (sum(p) + sum(q)) of their mask probabilities, chance the same with q "
        "shuffled over the maskable positions of each row; null where nothing can be masked",
    )
    warnings: list[str] = Field([])


class Strategy(Resource):
    """A masking preset."""

    name: str
    description: str
    parts: dict[str, Any]
    available: bool = Field(True, description="true of every preset")


class Task(Resource):
    """An evaluation task."""

    name: str
    kind: str
    columns: list[str]
    labels: int
    metrics: list[str]

"""A comparison of runs, as it is asked for and answered."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from entromask.wire.base import Request, Resource

# As many runs, or groups, can be named at once; and as many runs be in groups together.
MOST_COMPARED = 100
MOST_IN_GROUPS = 500


class CompareRequest(Request):
    """What POST /v1/compare takes: exactly one of `runs` and `groups`."""

    runs: list[str] | None = Field(
        None, min_length=1, max_length=MOST_COMPARED, description="ids of succeeded runs, each once"
    )
    groups: list[str] | None = Field(
        None,
        min_length=1,
        max_length=MOST_COMPARED,
        description="group hashes, each once: all succeeded runs of each, at most "
        f"{MOST_IN_GROUPS} together",
    )
    baseline: str | None = Field(
        None,
        max_length=200,
        description="the run, or the group hash, that the others are shown as differences from",
    )
    group: bool = Field(True, description="whether the runs of one group share a column")


class ComparedRun(Resource):
    """A run in a column of a comparison."""

    id: str
    name: str
    seed: int
    strategy: str | None = None


class ComparisonColumn(Resource):
    """A method: one run, or several that differ in the pretraining seed alone."""

    label: str
    group_hash: str
    runs: list[ComparedRun]


class ComparisonValue(Resource):
    """A mean over a column's runs and its standard deviation; `text` where there is no number."""

    mean: float | None = None
    sd: float | None = Field(
        None, description="over pretraining seeds; of a single run over its fine-tuning seeds"
    )
    text: str | None = None


class UntrainedFloor(Resource):
    """The lowest and the highest score of the same models without pretraining."""

    low: float
    high: float


class ComparisonRow(Resource):
    """One quantity; the lists are in the order of the columns."""

    section: Literal["Scores", "Validation", "Diagnostics", "Cost"]
    key: str
    label: str
    unit: Literal["score", "nats", "share", "plain", "count", "flops", "seconds", "rate"]
    higher_is_better: bool | None = None
    comparable: bool
    best: int | None = Field(None, description="the column to mark; null where nothing ranks")
    majority: float | None = Field(None, description="the floor of the majority class")
    untrained: UntrainedFloor | None = None
    size: int | None = Field(None, description="how many examples were scored")
    values: list[ComparisonValue | None]
    shown: list[str] = Field(description="in words, scores times 100", examples=[["56.1 ± 1.2"]])
    differences: list[str | None] = Field(
        description="to the baseline, in words; costs are ratios", examples=[[None, "+1.2 ± 0.4"]]
    )


class KeyDifference(Resource):
    """A key of the spec whose value differs between the columns."""

    key: str = Field(description="dotted", examples=["masking.preset"])
    values: list[Any] = Field(
        description="of each column; a list of values where its own runs differ"
    )


class Comparison(Resource):
    """The answer to POST /v1/compare."""

    object: Literal["comparison"] = "comparison"
    columns: list[ComparisonColumn]
    rows: list[ComparisonRow]
    baseline: int | None = Field(None, description="a column")
    notes: list[str] = Field(description="what to know before believing it, the gravest first")
    warnings: list[str] = Field(description="what the runs say of themselves")
    differences: list[KeyDifference] = Field(
        description="the keys of the specs that differ between the columns; no name, no tags"
    )

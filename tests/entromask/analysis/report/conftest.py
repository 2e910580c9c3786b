"""Summaries to render: a usual one, degenerate ones, and many methods with hostile names."""

from __future__ import annotations

import math

import pytest

from entromask.analysis.experiment import CellRuns, SeedRun, summarize
from entromask.wire.summary import ExperimentSummary
from tests.entromask.analysis.experiments import cell, tuned

NAMES = (
    "a & b_c x 2",
    "x < y | z > w",
    "50% #1 $5 {t} $x$",
    "back\\slash ~ ^ \\\\",
    "<script>alert(1)</script>",
    "*bold* `code` [l](u) ~~s~~ _e_",
    "α = 0.5, 中文 é ě ħ e\u0301 “q” ½",
    "teacher-masked-entropy-sample with explore 0.3 and rate 0.30",
    "- begins & ends <",
    "</svg></style>\"'&amp;",
    "[b] {a} -- --- ''",
)


def _summary(
    cells: list[CellRuns], name: str = "trial", status: str = "succeeded"
) -> ExperimentSummary:
    return summarize(id="exp_1", name=name, status=status, created_at=1.8e9, cells=cells)


def _scores(rte: float) -> dict[str, tuple[float, ...]]:
    return {"rte": tuned(rte), "cola": tuned(rte - 0.4), "blimp": (rte,)}


@pytest.fixture(scope="session")
def usual(tmp_path_factory: pytest.TempPathFactory) -> ExperimentSummary:
    folder = tmp_path_factory.mktemp("usual")
    failed = SeedRun(3, "run_9", "failed", None)
    return _summary(
        [
            cell(folder, "random", [_scores(x) for x in (0.60, 0.61, 0.62)], role="baseline"),
            cell(
                folder,
                "self",
                [_scores(x) for x in (0.700, 0.711, 0.719)],
                label="self-entropy",
                matched="equal-compute-self",
                loss=[4.31, 4.32, 4.30],
                flops=2.4e14,
                more=(failed,),
                warnings=[["odd"]] * 3,
            ),
            cell(folder, "no-pretraining", [_scores(0.5)] * 3, role="control", flops=0, tokens=0),
            cell(folder, "frequency", [_scores(x) for x in (0.59, 0.62, 0.6)], role="control"),
            cell(
                folder,
                "equal-compute-self",
                [_scores(x) for x in (0.61, 0.62, 0.64)],
                role="control",
                flops=2.4e14,
                tokens=24e6,
            ),
            cell(folder, "teacher", [{}], role="teacher"),
        ]
    )


@pytest.fixture(scope="session")
def degenerate(tmp_path_factory: pytest.TempPathFactory) -> ExperimentSummary:
    """One seed, a task missing in one cell, everything collapsed, a loss that is no number."""
    folder = tmp_path_factory.mktemp("degenerate")
    lost = (SeedRun(1, None, "failed", None), SeedRun(2, None, "queued", None))
    return _summary(
        [
            cell(folder, "random", [{"rte": (0.5,) * 3}], role="baseline", loss=math.nan),
            cell(folder, "self", [{"rte": (0.5,) * 3, "cola": (0.0,) * 3}], more=lost),
            CellRuns("span", "span", "method", {}, "random", None, lost),
        ],
        status="running",
    )


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> ExperimentSummary:
    folder = tmp_path_factory.mktemp("many")
    cells = [cell(folder, "random", [_scores(0.6)] * 2, role="baseline")]
    for i, name in enumerate(NAMES):
        method = [_scores(0.6 + i / 100), _scores(0.61 + i / 90)]
        cells.append(cell(folder, f"m{i}", method, label=name, loss=[4.0, 4.1 - i / 50]))
    return _summary(cells, name=f"12 {NAMES[4]} & {NAMES[2]}")


@pytest.fixture(scope="session")
def nothing() -> ExperimentSummary:
    queued = (SeedRun(0, None, "queued", None),)
    cells = [CellRuns("random", "random", "baseline", {}, None, None, queued)]
    return _summary(cells, status="queued")


@pytest.fixture(params=["usual", "degenerate", "many", "nothing"])
def any_summary(request: pytest.FixtureRequest) -> ExperimentSummary:
    found: ExperimentSummary = request.getfixturevalue(request.param)
    return found

"""The summary of an experiment: numbers, tests, ranking, what is missing, what may not be said."""

from __future__ import annotations

import csv
import io
import math
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from scipy.stats import ttest_rel

from entromask.analysis.experiment import CellRuns, SeedRun, summarize
from entromask.analysis.report import render_report
from entromask.analysis.statistics import holm
from entromask.errors import InputError
from entromask.wire.summary import (
    ExperimentSummary,
    SummaryCell,
    SummaryDifference,
    SummaryResult,
)
from tests.entromask.analysis.experiments import cell, tuned

RTE = (0.60, 0.62, 0.67)
LOSSES = [4.40, 4.43, 4.38]
BETTER = [4.31, 4.36, 4.30]


def summary(*cells: CellRuns, **changes: Any) -> ExperimentSummary:
    given = {"id": "exp_1", "name": "trial", "status": "succeeded", "created_at": 1.8e9}
    return summarize(**(given | changes), cells=cells)


def of(found: ExperimentSummary, key: str) -> SummaryCell:
    return next(one for one in found.cells if one.key == key)


def result(found: ExperimentSummary, key: str, measure: str) -> SummaryResult:
    return next(one for one in of(found, key).results if one.measure == measure)


def differences(found: ExperimentSummary) -> list[SummaryDifference]:
    return [one for c in found.cells for r in c.results for one in r.differences]


def rte(*scores: float) -> list[dict[str, tuple[float, ...]]]:
    return [{"rte": tuned(score)} for score in scores]


def baseline(folder: Path, by_seed: Any = None, **changes: Any) -> CellRuns:
    return cell(folder, "random", by_seed or rte(*RTE), role="baseline", **changes)


def test_a_method_is_described_by_its_seeds(tmp_path: Path) -> None:
    found = summary(baseline(tmp_path))
    one = result(found, "random", "rte")
    assert (one.n, one.mean, one.median) == (3, pytest.approx(fmean(RTE)), pytest.approx(0.62))
    assert one.sd == pytest.approx(stdev(RTE))
    assert one.per_seed == {str(s): pytest.approx(x) for s, x in enumerate(RTE)}
    assert one.low is not None
    assert one.high is not None
    assert one.low < 0.60
    assert one.high > 0.67
    (measure,) = [m for m in found.measures if m.key == "rte"]
    assert (measure.label, measure.rows, measure.majority) == ("RTE", 400, 0.527)
    assert measure.untrained is not None
    assert measure.untrained.high == 0.53


def test_losses_are_tested_by_seed_in_pairs(tmp_path: Path) -> None:
    method = cell(tmp_path, "self", rte(*RTE), loss=BETTER)
    found = summary(baseline(tmp_path, loss=LOSSES), method)
    (one,) = result(found, "self", "loss").differences
    by = [b - a for a, b in zip(LOSSES, BETTER, strict=True)]
    assert (one.to, one.at, one.n, one.paired) == ("random", "steps", 3, True)
    assert one.mean == pytest.approx(fmean(by))
    assert one.p == pytest.approx(ttest_rel(BETTER, LOSSES).pvalue)
    # Less is better.
    assert one.probability_of_improvement == 1.0
    assert one.seeds_for_difference is not None
    assert one.seeds_for_point is None
    assert one.seeds_for_point_range is None
    assert one.seeds_for_difference_range is not None
    low, high = one.seeds_for_difference_range
    assert low is not None
    assert low <= one.seeds_for_difference <= (high or 1000)


@pytest.mark.parametrize(("seeds", "said", "share"), [(2, True, "78%"), (3, False, "63%")])
def test_the_report_says_what_its_intervals_do_not_cover(
    tmp_path: Path, seeds: int, said: bool, share: str
) -> None:
    found = summary(
        baseline(tmp_path, rte(*RTE[:seeds]), loss=LOSSES[:seeds]),
        cell(tmp_path, "self", rte(*[x + 0.02 for x in RTE[:seeds]]), loss=BETTER[:seeds]),
    )
    assert any("up to 6% of the experiments" in note for note in found.notes) == said
    (rare,) = [note for note in found.notes if "no rare collapses" in note]
    assert f"with {seeds} seeds of which none has collapsed, up to {share}" in rare
    for format_ in ("md", "html", "latex"):
        assert "no rare collapses" in " ".join(render_report(found, format_).split())
    lines = list(csv.DictReader(io.StringIO(render_report(found, "csv"))))
    (line,) = [one for one in lines if one["cell"] == "self" and one["measure"] == "rte"]
    (one,) = result(found, "self", "rte").differences
    assert one.seeds_for_point_range is not None
    assert [line[f"steps_seeds_for_point_{end}"] for end in ("low", "high")] == [
        "" if end is None else str(end) for end in one.seeds_for_point_range
    ]
    assert " to " in found.power
    assert "5% and 95% quantiles" in found.power


def test_the_test_examples_are_a_part_of_the_interval_of_scores(tmp_path: Path) -> None:
    cells = (baseline(tmp_path), cell(tmp_path, "self", rte(0.7, 0.71, 0.72)))
    with_examples = result(summary(*cells), "self", "rte")
    for folder in tmp_path.glob("*/evaluation"):
        shutil.rmtree(folder)
    without = result(summary(*cells), "self", "rte")
    assert with_examples.mean == without.mean
    assert with_examples.high is not None
    assert without.high is not None
    assert with_examples.high - with_examples.mean > 1.2 * (without.high - without.mean)


def test_p_is_corrected_over_every_test_that_is_shown(tmp_path: Path) -> None:
    names = ("self", "teacher-sample", "span")
    methods = [
        cell(tmp_path, name, rte(0.6 + i / 50, 0.65, 0.68), loss=[4.3, 4.2 + i / 9, 4.1])
        for i, name in enumerate(names)
    ]
    found = summary(baseline(tmp_path, loss=LOSSES), *methods)
    shown = differences(found)
    assert found.tests == len(shown) == 3 * 3
    assert [one.p_holm for one in shown] == holm([one.p for one in shown])


def test_controls_that_are_no_rivals_of_the_baseline_are_not_tested_against_it(
    tmp_path: Path,
) -> None:
    found = summary(
        baseline(tmp_path),
        cell(tmp_path, "self", rte(*RTE), matched="equal-compute-self", flops=2.4e14),
        cell(tmp_path, "no-pretraining", rte(0.5, 0.5, 0.51), role="control"),
        cell(tmp_path, "frequency", rte(*RTE), role="control"),
        cell(tmp_path, "equal-compute-self", rte(0.61, 0.60, 0.66), role="control", flops=2.4e14),
    )
    tested = {
        (c.key, one.to, one.at) for c in found.cells for r in c.results for one in r.differences
    }
    assert tested == {
        ("self", "random", "steps"),
        ("self", "equal-compute-self", "compute"),
        ("frequency", "random", "steps"),
    }
    (_, by) = result(found, "self", "rte").differences
    assert by.mean == pytest.approx(fmean(RTE) - fmean((0.61, 0.60, 0.66)))


def test_the_model_without_pretraining_is_a_floor_and_never_the_best(tmp_path: Path) -> None:
    floor = cell(tmp_path, "no-pretraining", rte(0.7, 0.7, 0.7), role="control")
    found = summary(baseline(tmp_path), cell(tmp_path, "self", rte(0.64, 0.65, 0.69)), floor)
    assert result(found, "self", "rte").above_floors is False
    assert not any(r.best for c in found.cells for r in c.results if r.measure == "rte")
    assert "No ranking: no method is above the floors on any task." in found.notes
    assert of(found, "no-pretraining").pretrained is False


def test_the_best_is_marked_where_it_is_above_the_floors(tmp_path: Path) -> None:
    found = summary(
        baseline(tmp_path, loss=LOSSES), cell(tmp_path, "self", rte(0.7, 0.7, 0.7), loss=LOSSES)
    )
    assert [result(found, key, "rte").best for key in ("random", "self")] == [False, True]
    assert not any(result(found, key, "loss").best for key in ("random", "self"))


def test_collapsed_runs_are_counted_and_kept(tmp_path: Path) -> None:
    found = summary(baseline(tmp_path, rte(0.527, 0.6, 0.5)))
    one = result(found, "random", "rte")
    assert (one.n, one.collapsed) == (3, 2)
    assert one.mean == pytest.approx(fmean((0.527, 0.6, 0.5)))
    assert any("random: RTE (2 of 3)" in note for note in found.notes)


def test_an_unfinished_experiment_says_what_is_missing(tmp_path: Path) -> None:
    waiting = SeedRun(2, None, "queued", None)
    failed = SeedRun(3, "run_9", "failed", None)
    method = cell(tmp_path, "self", rte(0.6, 0.6), more=(waiting, failed))
    found = summary(baseline(tmp_path), method, status="running")
    counts = found.runs
    assert (counts.planned, counts.succeeded, counts.failed, counts.unfinished) == (7, 5, 1, 1)
    assert found.notes[0] == (
        "2 of 7 runs have no results yet: self (seed 2 queued, seed 3 failed)."
    )
    assert result(found, "self", "rte").n == 2
    assert [run.status for run in of(found, "self").runs][2:] == ["queued", "failed"]


def test_nothing_finished_is_a_summary_too() -> None:
    runs = (SeedRun(0, None, "queued", None),)
    cells = [
        CellRuns("random", "random", "baseline", {}, None, None, runs),
        CellRuns("self", "self", "method", {}, "random", None, runs),
    ]
    found = summary(*cells, status="queued")
    assert (found.measures, found.tests, differences(found)) == ([], 0, [])
    assert found.methods_paragraph.startswith("No run has finished")
    assert found.runs.unfinished == 2


def test_one_seed_has_no_interval_and_no_test(tmp_path: Path) -> None:
    found = summary(baseline(tmp_path, rte(0.6)), cell(tmp_path, "self", rte(0.7)))
    one = result(found, "self", "rte")
    assert (one.sd, one.low, one.high) == (None, None, None)
    (by,) = one.differences
    assert (by.p, by.p_holm, by.low, by.seeds_for_point) == (None, None, None, None)
    assert by.mean == pytest.approx(0.1)
    assert found.tests == 0
    assert any("proves nothing" in note for note in found.notes)
    assert "no interval and no test" in found.methods_paragraph


def test_means_are_named_by_their_tasks_and_compare_the_same_ones(tmp_path: Path) -> None:
    full = {"rte": tuned(0.6), "cola": tuned(0.2), "mrpc": tuned(0.8), "blimp": (0.6,)}
    lacking = {"rte": tuned(0.7), "cola": tuned(0.3), "blimp": (0.7,)}
    spec = {"evaluation": {"tasks": list(full)}}
    found = summary(
        baseline(tmp_path, [full] * 3), cell(tmp_path, "self", [lacking] * 3, spec=spec)
    )
    (mean,) = [m for m in found.measures if m.kind == "average"]
    assert (mean.tasks, mean.label) == (["cola", "rte"], "mean of 2: CoLA, RTE")
    assert result(found, "random", mean.key).mean == pytest.approx(0.4)
    (by,) = result(found, "self", mean.key).differences
    assert by.mean == pytest.approx(0.1)
    assert "mrpc" not in [r.measure for r in of(found, "self").results]
    assert "self has no score for mrpc." in found.notes


def test_demo_tasks_are_in_no_mean(tmp_path: Path) -> None:
    tasks = {"demo-order": tuned(0.6), "demo-pair": tuned(0.6), "rte": tuned(0.6)}
    found = summary(baseline(tmp_path, [tasks] * 3))
    assert [m.kind for m in found.measures if m.unit == "score"] == ["task"] * 3


def test_a_loss_that_is_no_number_is_in_no_mean_and_is_told_of(tmp_path: Path) -> None:
    home = baseline(tmp_path, loss=[4.4, math.nan, 4.2])
    broken = replace(home.runs[0], curve=((100, 5.0), (200, math.nan), (300, 4.0)))
    found = summary(replace(home, runs=(broken, *home.runs[1:])))
    assert result(found, "random", "loss").n == 2
    assert any("seed 1: the validation loss is not a number" in note for note in found.notes)
    steps = {point.step: point for point in of(found, "random").curve}
    assert steps[200].n == 1
    assert steps[100].n == 2


def test_curves_have_the_range_of_finished_seeds_and_few_points(tmp_path: Path) -> None:
    home = baseline(tmp_path, loss=[4.4, 4.5, 4.3])
    point = of(summary(home), "random").curve[-1]
    assert (point.step, point.n, point.low, point.high) == (1000, 3, 4.3, 4.5)
    assert point.mean == pytest.approx(4.4)
    # A run that failed on the way would make the mean jump.
    dense = tuple((step, 5.0) for step in range(1, 1001))
    runs = (replace(home.runs[0], curve=dense), SeedRun(1, None, "failed", None, ((1000, 9.0),)))
    curve = of(summary(replace(home, runs=runs)), "random").curve
    assert len(curve) == 200
    assert curve[-1].step == 1000
    assert {p.n for p in curve} == {1}


def test_costs_are_means_and_ratios_to_the_baseline(tmp_path: Path) -> None:
    method = cell(tmp_path, "self", rte(*RTE), flops=[2e14, 2.2e14, 2.4e14])
    for one in method.runs:
        assert one.run is not None
        one.run.results["cost"]["scoring_flops"] = 0.6e14  # type: ignore[index]
    teacher = cell(tmp_path, "teacher", [{}], role="teacher")
    found = summary(baseline(tmp_path), method, teacher)
    cost = of(found, "self").cost
    assert cost is not None
    assert (cost.flops, cost.scoring_flops) == (pytest.approx(2.2e14), pytest.approx(0.6e14))
    assert cost.relative["flops"] == pytest.approx(2.2 / 1.2)
    assert cost.relative["scoring_flops"] == pytest.approx(0.5)
    assert any("Compute is not matched: self (2.33 times)" in note for note in found.notes)
    assert of(found, "teacher").results == []
    assert of(found, "teacher").cost is not None


def test_each_size_has_its_own_baseline_and_its_own_best(tmp_path: Path) -> None:
    big = {"model": {"size": "small"}}
    found = summary(
        baseline(tmp_path),
        cell(tmp_path, "self", rte(0.64, 0.65, 0.69)),
        cell(tmp_path, "random-small", rte(0.8, 0.81, 0.82), role="baseline", spec=big),
        cell(tmp_path, "self-small", rte(0.7, 0.7, 0.7), baseline="random-small", spec=big),
    )
    best = [c.key for c in found.cells for r in c.results if r.measure == "rte" and r.best]
    assert best == ["self", "random-small"]
    (by,) = result(found, "self-small", "rte").differences
    assert by.to == "random-small"
    assert "4 layers of width 256" in found.methods_paragraph
    assert "4 layers of width 512" in found.methods_paragraph


def test_the_methods_paragraph_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    text = {"corpus": {"source": "local", "path": "/data/corpora/imdb-unsup"}}
    found = summary(cell(tmp_path, "random", rte(*RTE), role="baseline", spec=text))
    assert "the corpus imdb-unsup (fingerprint cd97815ce4b4)" in found.methods_paragraph
    assert "/data" not in found.methods_paragraph


def test_what_was_measured_otherwise_is_not_compared(tmp_path: Path) -> None:
    other = {"evaluation": {"seeds": [0, 1]}, "pretraining": {"sequence_length": 64}}
    found = summary(baseline(tmp_path), cell(tmp_path, "self", rte(0.9, 0.9, 0.9), spec=other))
    assert differences(found) == []
    assert not any(r.best for c in found.cells for r in c.results)
    assert any("Scores are not comparable" in note for note in found.notes)
    assert any("Losses are not comparable" in note for note in found.notes)


def test_a_protocol_that_selects_on_the_reported_rows_is_told_of(tmp_path: Path) -> None:
    spec = {"evaluation": {"protocol": "paper-cards"}}
    found = summary(baseline(tmp_path, spec=spec))
    assert any("paper-cards selects on the rows that are reported" in n for n in found.notes)
    assert "the epoch with the lowest loss on the reported rows" in found.methods_paragraph


def test_warnings_of_runs_are_said_once_with_who_says_them(tmp_path: Path) -> None:
    found = summary(baseline(tmp_path, warnings=[["odd"]] * 3), cell(tmp_path, "self", rte(0.6)))
    assert found.warnings == ["random: odd"]


def test_warnings_that_differ_in_their_figures_alone_are_said_once_with_their_ranges(
    tmp_path: Path,
) -> None:
    said = [
        ["loss 6.5 of 9.01 at step 100, 25%", "odd"],
        ["loss 6.75 of 9.01 at step 1,200, 14%"],
        ["loss 7 of 9.01 at step 3, 25%"],
    ]
    found = summary(baseline(tmp_path, warnings=said), cell(tmp_path, "self", rte(0.6)))
    assert found.warnings == [
        "random: loss 6.5–7 of 9.01 at step 3–1,200, 14–25%",
        "random (1 of 3 seeds): odd",
    ]


def test_the_methods_paragraph_counts_in_singular_and_plural(tmp_path: Path) -> None:
    many = summary(baseline(tmp_path), cell(tmp_path, "self", rte(*RTE), loss=BETTER))
    text = many.methods_paragraph
    for part in (
        "with 3 seeds (0, 1, 2), and each model fine-tuned with 3 seeds (0, 1, 2)",
        "The methods were: random: tokens drawn uniformly; self:",
        "The evaluation task was RTE (accuracy)",
        "Holm's method over all 2 tests" if many.tests == 2 else f"all {many.tests} tests",
        "12 M tokens (1,000 steps of 64 rows of 128 tokens)",
        "imdb-unsup (fingerprint cd97815ce4b4)",
        "AMD EPYC, 2 cores, 1 thread a run",
        "Commit of Entromask: 9e76a0c4ffde.",
        "python 3.11.7",
        "in 32-bit floats",
        "protocol fixed: 3 epochs with batches of 32",
    ):
        assert part in text
    one = {"evaluation": {"seeds": [4]}}
    few = summary(baseline(tmp_path / "few", rte(0.6), spec=one)).methods_paragraph
    assert "with 1 seed (0), and each model fine-tuned with 1 seed (4)." in few
    assert "The method was random: tokens drawn uniformly." in few


def test_a_cell_stands_alone_under_its_key(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two cells have the key 'random'"):
        summary(baseline(tmp_path / "a"), baseline(tmp_path / "b"))
    with pytest.raises(InputError, match="is compared with 'nobody'"):
        summary(baseline(tmp_path), cell(tmp_path, "self", [], baseline="nobody"))


def test_summaries_and_reports_need_no_torch() -> None:
    code = (
        "import sys, entromask.analysis.experiment, entromask.analysis.report;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'vl_convert')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

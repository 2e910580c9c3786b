"""Chosen runs as methods: seeds in one line, and every quantity over every axis."""

from __future__ import annotations

import pytest

from frontend.parts.compare.comparison_table import heads, rows_of
from frontend.parts.compare.methods import (
    OVERS,
    QUANTITIES,
    Method,
    interpolated,
    lines_of,
    methods_of,
)
from frontend.parts.tables import Cell
from tests.frontend.fake import a_run
from tests.frontend.samples import comparison, history

LOSS = QUANTITIES["Common validation loss"]


def seeds(*numbers: int, name: str = "random", status: str = "succeeded") -> Method:
    runs = tuple(a_run(n, status, name=f"{name}-s{n}", spec={"seed": n}) for n in numbers)
    return Method(name, runs[0].group_hash, runs)


def test_seeds_of_one_method_share_its_name() -> None:
    runs = [*seeds(0, 1).runs, a_run(5, preset="frequency", name="rare first")]
    found = methods_of(runs, {})
    assert [method.label for method in found] == ["random", "rare first"]
    assert [len(method.runs) for method in found] == [2, 1]


def test_methods_of_one_name_are_told_apart_and_a_comparison_names_them() -> None:
    runs = [a_run(1, name="x"), a_run(2, name="x", preset="frequency")]
    assert [method.label for method in methods_of(runs, {})] == ["x (0001)", "x (0002)"]
    labels = {runs[0].group_hash: "first", runs[1].group_hash: "second"}
    assert [method.label for method in methods_of(runs, labels)] == ["first", "second"]


def test_a_curve_over_tokens_stands_where_its_steps_were() -> None:
    method = seeds(0)
    found = history(
        validation_loss={100: 6.0, 205: 5.0}, tokens={100: 1000.0, 200: 2000.0, 210: 2100.0}
    )
    [line], _ = lines_of([method], {method.runs[0].id: found}, LOSS, OVERS["tokens"])
    assert list(line.xs) == [1000.0, 2050.0]
    assert list(line.ys) == [6.0, 5.0]


def test_before_the_first_report_nothing_is_spent() -> None:
    method = seeds(0)
    found = history(validation_loss={5: 6.0}, seconds={10: 4.0})
    [line], _ = lines_of([method], {method.runs[0].id: found}, LOSS, OVERS["wall clock"])
    assert list(line.xs) == [2.0]


@pytest.mark.parametrize(
    ("axis", "xs", "word"),
    [("FLOPs", [1750.0, 2500.0], "FLOPs"), ("wall clock", [22.0, 24.0], "seconds")],
)
def test_a_curve_over_compute_begins_with_the_cost_of_the_teachers_scores(
    axis: str, xs: list[float], word: str
) -> None:
    method = seeds(0)
    found = history(
        validation_loss={5: 6.0, 10: 5.0},
        flops={10: 1500.0},
        seconds={10: 4.0},
        scoring_flops={0: 1000.0},
        scoring_seconds={0: 20.0},
    )
    [line], _ = lines_of([method], {method.runs[0].id: found}, LOSS, OVERS[axis])
    assert list(line.xs) == xs
    assert OVERS[axis].title == f"{word}, teacher scoring included"


def test_several_seeds_are_their_mean_with_a_band_from_lowest_to_highest() -> None:
    method = seeds(0, 1)
    histories = {
        method.runs[0].id: history(validation_loss={100: 6.0, 200: 5.0}),
        method.runs[1].id: history(validation_loss={100: 7.0, 200: 5.5}),
    }
    [line], [band] = lines_of([method], histories, LOSS, OVERS["steps"])
    assert (line.label, list(line.xs), list(line.ys)) == ("random", [100, 200], [6.5, 5.25])
    assert (list(band.low), list(band.high)) == ([6.0, 5.0], [7.0, 5.5])


def test_a_mean_ends_where_its_shortest_seed_ends() -> None:
    method = seeds(0, 1)
    histories = {
        method.runs[0].id: history(validation_loss={100: 6.0, 200: 5.0, 300: 4.0}),
        method.runs[1].id: history(validation_loss={100: 6.0, 200: 5.0}),
    }
    [line], _ = lines_of([method], histories, LOSS, OVERS["steps"])
    assert list(line.xs) == [100, 200]


def test_a_seed_that_is_not_finished_has_a_line_of_its_own() -> None:
    done, going = seeds(0), seeds(1, status="running")
    method = Method("random", done.group, (*done.runs, *going.runs))
    histories = {run.id: history(validation_loss={100: 6.0}) for run in method.runs}
    lines, bands = lines_of([method], histories, LOSS, OVERS["steps"])
    assert [line.label for line in lines] == ["random", "random, seed 1 (running)"]
    assert bands == []
    [alone], _ = lines_of([going], histories, LOSS, OVERS["steps"])
    assert alone.label == "random"


def test_a_run_without_the_quantity_or_the_axis_has_no_line() -> None:
    method = seeds(0)
    only = {method.runs[0].id: history(validation_loss={100: 6.0})}
    assert lines_of([method], only, LOSS, OVERS["FLOPs"]) == ([], [])
    entropy = QUANTITIES["Mean predictive entropy"]
    assert lines_of([method], only, entropy, OVERS["steps"]) == ([], [])


def test_the_training_loss_says_that_it_does_not_compare() -> None:
    assert QUANTITIES["Training loss"].unit.endswith("not comparable")


@pytest.mark.parametrize(("x", "expected"), [(0, 1.0), (1, 1.0), (1.5, 2.0), (2, 3.0), (9, 3.0)])
def test_between_points_a_line_is_straight_and_beyond_its_ends_flat(
    x: float, expected: float
) -> None:
    assert interpolated(x, [1, 2], [1.0, 3.0]) == expected


def test_a_comparison_is_shown_by_section_the_best_in_bold_differences_below() -> None:
    found = comparison([a_run(1)], [a_run(2, preset="frequency")], baseline=0)
    rows = rows_of(found)
    assert [row[0].text for row in rows if isinstance(row[0], Cell) and row[0].section] == [
        "Scores (x 100)",
        "Cost of pretraining",
    ]
    _, first, second, majority, untrained = rows[1]
    assert first == Cell("56.0 ± 1.2")
    assert second == Cell("57.0 ± 1.2", strong=True, below="+1.0 ± 1.7")
    assert (majority, untrained) == ("52.7", "51.0–53.0")


def test_rows_that_do_not_compare_say_so_and_heads_name_seeds_and_baseline() -> None:
    found = comparison([a_run(1), a_run(2)], [a_run(3, preset="frequency")], baseline=0)
    assert heads(found) == [Cell("run 1", below="2 seeds, baseline"), Cell("run 3")]
    found.rows[0].comparable = False
    assert rows_of(found)[1][0] == Cell("rte (not comparable)", below="277 examples")


def test_without_floors_there_are_no_columns_for_them() -> None:
    found = comparison([a_run(1)])
    found.rows = found.rows[1:]
    assert [len(row) for row in rows_of(found)] == [1, 2]

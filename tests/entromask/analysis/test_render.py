"""A comparison as text, Markdown and CSV."""

from __future__ import annotations

import csv
import io
import re

import pytest

from entromask.analysis import Run, compare, render
from tests.entromask.analysis import build

LONG = "teacher-masked-entropy-sample"


def runs() -> list[Run]:
    return [
        build.run("random", {"rte": (0.56, 0.57, 0.58), "cola": (-0.02, 0.03, 0.02)}),
        build.run(LONG, {"rte": (0.60, 0.61, 0.62), "cola": (0.05, 0.06, 0.07)}, loss=4.893),
        build.run("self", {"rte": (0.59, 0.58, 0.57), "cola": (0.0, 0.0, 0.0)}, flops=2.34e14),
    ]


def test_text_holds_scores_floors_losses_and_cost_in_the_usual_units() -> None:
    text = render(compare(runs()))
    (rte,) = [line for line in text.splitlines() if line.strip().startswith("rte")]
    cells = re.split(r" {2,}", rte.strip())
    assert cells == ["rte", "52.7", "53.0", "57.0 ± 1.0", "61.0 ± 1.0*", "58.0 ± 1.0"]
    assert "4.893*" in text
    assert "2.34e+14" in text
    assert "5.2 min" in text
    assert "12 M" in text


@pytest.mark.parametrize("count", [1, 3, 5, 9])
def test_text_fits_100_columns_for_any_number_of_runs(count: int) -> None:
    many = [build.run(f"{LONG}-{letter}", {"rte": (0.5, 0.6)}) for letter in "abcdefghi"[:count]]
    text = render(compare(many))
    assert max(map(len, text.splitlines())) <= 100
    # Every run has its column, in whatever block: as many cells as runs.
    cells = sum(line.count("55.0 ±") for line in text.splitlines() if line.startswith("  rte"))
    assert cells == count


def test_five_usual_runs_stand_in_one_block() -> None:
    names = ["random", "frequency", LONG, "teacher-entropy-high", "self-entropy-sample"]
    text = render(compare([build.run(name, {"rte": (0.5, 0.6)}) for name in names]))
    assert text.count("maj.  untr.") == 1


def test_columns_are_aligned() -> None:
    text = render(compare(runs()))
    lines = text.splitlines()
    ends = {
        line.rindex("±") for line in lines if line.startswith(("  rte", "  cola")) and "±" in line
    }
    assert len(ends) == 1


def test_markdown_is_a_table_with_the_best_in_bold() -> None:
    text = render(compare(runs()), "md")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert "| rte | 52.7 | 53.0 | 57.0 ± 1.0 | **61.0 ± 1.0** | 58.0 ± 1.0 |" in table
    assert "- Compute is not matched" in text


def test_markdown_without_tasks_has_no_floor_columns() -> None:
    text = render(compare([build.run("a"), build.run("b", loss=1.0)]), "md")
    assert text.splitlines()[0] == "|  | a | b |"
    assert "| loss | 4.940 | **1.000** |" in text


def test_csv_has_one_line_of_raw_numbers_for_each_run_and_quantity() -> None:
    seeds = [build.run(f"a-s{i}", {"rte": (0.5 + i / 8,)}, group_hash="a") for i in range(2)]
    lines = list(csv.DictReader(io.StringIO(render(compare(seeds), "csv"))))
    found = {
        (line["run"], line["quantity"]): line
        for line in lines
        if line["quantity"] in ("rte", "loss")
    }
    assert len(found) == 4
    assert float(found["a-s1", "rte"]["value"]) == 0.625
    assert float(found["a-s1", "rte"]["majority_floor"]) == 0.527
    assert found["a-s0", "loss"]["value"] == "4.94"
    assert {line["group_hash"] for line in lines} == {"a"}


def test_a_baseline_turns_the_others_into_differences_and_costs_into_ratios() -> None:
    text = render(compare(runs(), baseline=0), "md")
    (rte,) = [line for line in text.splitlines() if line.startswith("| rte")]
    assert "| 57.0 ± 1.0 | **+4.0 ± 1.4** | +1.0 ± 1.4 |" in rte
    assert "x 1.95" in text
    assert "differences to random" in text


def test_nothing_that_may_not_be_compared_is_subtracted() -> None:
    other = build.run("b", loss=1.0, spec_changes={"corpus": {"source": "local", "path": "b"}})
    text = render(compare([build.run("a"), other], baseline=0), "md")
    assert "| loss (not comparable) | 4.940 | - |" in text


def test_negative_scores_carry_a_minus_sign() -> None:
    assert "−5.0" in render(compare([build.run("a", {"cola": (-0.05,)})]))

"""JSON, CSV and Markdown: nothing is lost, and names are shown as they are."""

from __future__ import annotations

import csv
import io
import re

import pytest

from entromask.analysis.report import FORMATS, render_report
from entromask.analysis.report.markdown import escape, escape_line
from entromask.errors import InputError
from entromask.wire.summary import ExperimentSummary


def test_json_is_the_summary(any_summary: ExperimentSummary) -> None:
    text = render_report(any_summary, "json")
    assert ExperimentSummary.model_validate_json(text) == any_summary
    assert "NaN" not in text


def test_every_format_ends_in_a_newline_and_reports_are_the_same_twice(
    any_summary: ExperimentSummary,
) -> None:
    for name in FORMATS:
        text = render_report(any_summary, name)
        assert text.endswith("\n")
        if name != "html":
            assert render_report(any_summary, name) == text


def test_an_unknown_format_is_refused(nothing: ExperimentSummary) -> None:
    with pytest.raises(InputError, match="no report format 'pdf'"):
        render_report(nothing, "pdf")  # type: ignore[arg-type]


def lines(summary: ExperimentSummary) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(render_report(summary, "csv"))))


def test_csv_has_a_line_for_each_cell_and_measure(any_summary: ExperimentSummary) -> None:
    found = [(line["cell"], line["measure"]) for line in lines(any_summary)]
    assert len(set(found)) == len(found)
    results = {(c.key, r.measure) for c in any_summary.cells for r in c.results}
    assert results == {
        pair for pair, line in zip(found, lines(any_summary), strict=True) if line["kind"] != "cost"
    }


def test_csv_holds_the_numbers_in_full(usual: ExperimentSummary) -> None:
    cell = usual.cells[1]
    result = next(one for one in cell.results if one.measure == "rte")
    line = next(x for x in lines(usual) if (x["cell"], x["measure"]) == ("self", "rte"))
    assert [float(line[name]) for name in ("mean", "sd", "low")] == [
        result.mean,
        result.sd,
        result.low,
    ]
    assert (line["rows"], line["n"], line["majority_floor"]) == ("400", "3", "0.527")
    steps, compute = result.differences
    assert float(line["steps_p_holm"]) == steps.p_holm
    assert (line["steps_to"], line["compute_to"]) == ("random", "equal-compute-self")
    assert float(line["compute_mean"]) == compute.mean
    flops = next(x for x in lines(usual) if (x["cell"], x["measure"]) == ("self", "flops"))
    assert (float(flops["mean"]), float(flops["relative_to_baseline"])) == (2.4e14, 2.0)


def test_csv_names_are_no_formulas(many: ExperimentSummary) -> None:
    labels = {line["label"] for line in lines(many)}
    assert "'- begins & ends <" in labels
    assert not any(label.startswith(("=", "+", "-", "@")) for label in labels)


def tables(markdown: str) -> list[list[list[str]]]:
    """The cells of every pipe table."""
    found: list[list[list[str]]] = []
    for line in markdown.splitlines():
        if not line.startswith("|"):
            found.append([])
            continue
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        found[-1].append([cell.strip() for cell in cells])
    return [table for table in found if table]


def test_markdown_tables_have_as_many_cells_in_each_row(any_summary: ExperimentSummary) -> None:
    text = render_report(any_summary, "md")
    assert text.startswith("# ")
    for table in tables(text):
        assert len({len(row) for row in table}) == 1
        assert all(re.fullmatch(r"-+:?", cell) for cell in table[1])


def test_the_table_of_the_paper(usual: ExperimentSummary) -> None:
    text = render_report(usual, "md")
    head, _, *rows = tables(text)[0]
    by_name = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert head[:6] == ["Method", "Seeds", "CoLA", "RTE", "BLiMP", "mean of 2"]
    assert list(by_name) == [
        *("majority class", "random", "self-entropy", "no-pretraining"),
        *("frequency", "equal-compute-self"),
    ]
    assert by_name["majority class"]["RTE"] == "52.7"
    result = next(one for one in usual.cells[1].results if one.measure == "rte")
    assert result.high is not None
    half = f"{100 * (result.high - result.mean):.1f}"
    assert by_name["self-entropy"]["RTE"].startswith(f"**71.0 ± {half}")
    assert by_name["self-entropy"]["Seeds"] == "3/4"
    assert by_name["self-entropy"]["FLOPs ×"] == "2.00"
    assert "mean of 2: the mean of CoLA, RTE." in text
    assert not any("**" in cell for cell in rows[1])


def test_marks_stand_where_the_corrected_p_is_small(usual: ExperimentSummary) -> None:
    marked = usual.model_copy(deep=True)
    for cell in marked.cells:
        for result in cell.results:
            for one in result.differences:
                one.p_holm = 0.049 if result.measure == "rte" else 0.05
    head, _, *rows = tables(render_report(marked, "md"))[0]
    cells = {(row[0], name): cell for row in rows for name, cell in zip(head, row, strict=True)}
    assert cells["self-entropy", "RTE"].rstrip("*").endswith("†‡")
    assert cells["frequency", "RTE"].endswith("†")
    assert sum("†" in cell for cell in cells.values()) == 2


def test_a_report_says_all_that_a_summary_says(usual: ExperimentSummary) -> None:
    text = render_report(usual, "md")
    for part in (usual.power, usual.methods_paragraph, *usual.notes, *usual.warnings):
        assert escape(part) in text
    for run in (run for cell in usual.cells for run in cell.runs):
        assert f"{run.id}" in text
    for title in ("Differences to the baseline", "At equal compute", "Learning curves", "Runs"):
        assert f"\n## {title}\n" in text


def test_an_experiment_without_results_has_a_report(nothing: ExperimentSummary) -> None:
    text = render_report(nothing, "md")
    assert "0 of 1 run succeeded, 1 not finished" in text
    assert "No run has finished" in text


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a_b", "a_b"),
        ("_a_ *b* `c`", r"\_a\_ \*b\* \`c\`"),
        ("<b> p < 0.05 &amp; & |", r"\<b> p < 0.05 \&amp; & \|"),
        ("- x", r"\- x"),
        ("1. x", r"1\. x"),
        ("> x # y", r"\> x # y"),
        ("two\nlines", "two lines"),
    ],
)
def test_markdown_is_escaped_where_it_would_mean_something(text: str, written: str) -> None:
    assert escape_line(text) == written

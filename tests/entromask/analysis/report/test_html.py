"""The HTML page: one file, nothing from elsewhere, nothing that runs, names as text."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from entromask.analysis.report import render_report
from entromask.analysis.report.charts import curve_figures, forest_figures
from entromask.wire.summary import ExperimentSummary
from tests.entromask.analysis.report.conftest import NAMES

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The elements of a page, their attributes and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="session")
def pages(
    usual: ExperimentSummary,
    degenerate: ExperimentSummary,
    many: ExperimentSummary,
    nothing: ExperimentSummary,
) -> dict[str, str]:
    given = {"usual": usual, "degenerate": degenerate, "many": many, "nothing": nothing}
    return {name: render_report(summary, "html") for name, summary in given.items()}


@pytest.mark.parametrize("name", ["usual", "degenerate", "many", "nothing"])
def test_a_page_is_whole_and_asks_nothing_of_anyone(pages: dict[str, str], name: str) -> None:
    text = pages[name]
    page = Page(text)
    assert page.open == []
    assert not page.tags.keys() & {"script", "link", "img", "iframe", "object", "use", "image"}
    assert not [a for a in page.attributes if a[1] in ("src", "href", "xlink:href")]
    assert not [a for a in page.attributes if a[1].startswith("on")]
    # The names of XML's own formats are no addresses that a page loads.
    assert not re.findall(r"url\((?!#)|@import", text)
    ids = [value for _, attribute, value in page.attributes if attribute == "id"]
    assert len(ids) == len(set(ids))
    assert "default-src 'none'" in text
    assert "prefers-color-scheme: dark" in text


def test_names_are_shown_as_they_are(pages: dict[str, str]) -> None:
    words = Page(pages["many"]).words
    for name in NAMES:
        assert name in words


def test_every_chart_is_drawn_and_described(
    pages: dict[str, str], usual: ExperimentSummary, many: ExperimentSummary
) -> None:
    for name, summary in (("usual", usual), ("many", many)):
        figures = [*forest_figures(summary), *curve_figures(summary)]
        page = Page(pages[name])
        assert page.tags["svg"] == len(figures)
        alts = [value for _, attribute, value in page.attributes if attribute == "aria-label"]
        assert all(figure.alt in alts for figure in figures)
    assert len(curve_figures(usual)) == 1
    # A dozen lines in one chart are none to read.
    assert len(curve_figures(many)) == len(NAMES) + 1
    assert any("CoLA" in figure.alt for figure in forest_figures(usual))


def test_what_scrolls_is_reached_by_the_keyboard(pages: dict[str, str]) -> None:
    page = Page(pages["usual"])
    regions = [v for tag, name, v in page.attributes if (tag, name) == ("div", "class")]
    stops = [v for _, name, v in page.attributes if name == "tabindex"]
    assert len(stops) == sum(kind in ("scroll", "chart") for kind in regions) > 0
    heads = [v for tag, name, v in page.attributes if (tag, name) == ("th", "scope")]
    assert {"row", "col"} == set(heads)


def test_a_filled_point_is_a_significant_difference(usual: ExperimentSummary) -> None:
    (rte,) = [figure for figure in forest_figures(usual) if figure.title == "RTE"]
    rows = rte.spec["data"]["values"]
    assert {row["at"] for row in rows} == {"steps", "compute"}
    for row in rows:
        assert row["low"] <= row["mean"] <= row["high"]
    differences = [
        one.p_holm
        for cell in usual.cells
        for result in cell.results
        if result.measure == "rte"
        for one in result.differences
    ]
    assert [row["sure"] for row in rows] == [p is not None and p < 0.05 for p in differences]

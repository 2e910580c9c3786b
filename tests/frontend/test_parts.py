"""Charts, tables, colours and words: what every page shares."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from frontend.parts.charts import Line, Mark, curves, png
from frontend.parts.colours import contrast, heat
from frontend.parts.words import ago, amount, percent, score, size

NOW = 1_767_225_600.0


def test_every_cell_of_the_heat_map_can_be_read() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    for level in range(256):
        background, text = heat(level / 255)
        assert contrast(background, text) >= 4.5


def test_heat_grows_lighter_and_keeps_to_its_scale() -> None:
    shades = [contrast("#000000", heat(level / 20)[0]) for level in range(21)]
    assert shades == sorted(shades)
    assert heat(-1.0) == heat(0.0)
    assert heat(7.0) == heat(1.0)


def test_a_chart_says_what_it_shows_in_which_unit_and_marks_the_plateau() -> None:
    lines = [Line("random", [1, 2, 3], [5.0, None, 4.0]), Line("teacher", [1, 2], [5.0, 4.5])]
    chart = curves(
        lines, title="Validation loss", x="step", y="nats", marks=[Mark(2, "plateau left")]
    ).to_dict()
    assert chart["title"]["text"] == "Validation loss"
    [line, *_] = chart["layer"]
    assert line["encoding"]["x"]["title"] == "step"
    assert line["encoding"]["y"]["title"] == "nats"
    # Told apart by dashes as well as by colours.
    dashes = line["encoding"]["strokeDash"]["scale"]["range"]
    assert len({tuple(dash) for dash in dashes}) == 2
    assert chart["datasets"]["marks"] == [{"x": 2, "label": "plateau left"}]
    assert [row["y"] for row in chart["datasets"]["lines"]] == [5.0, 4.0, 5.0, 4.5]


def test_a_logarithmic_chart_leaves_out_what_has_no_logarithm() -> None:
    chart = curves([Line("a", [1, 2, 3], [0.0, 1.0, 2.0])], title="t", x="x", y="y", log=True)
    assert chart.data["lines"]["y"] == [1.0, 2.0]


def test_a_pointer_finds_a_few_points_of_a_long_line_and_always_its_end() -> None:
    line = Line("a", list(range(5000)), [0.5] * 5000)
    chart = curves([line], title="t", x="x", y="y")
    assert len(chart.data["lines"]["x"]) == 5000
    assert len(chart.data["points"]["x"]) <= 300
    assert chart.data["points"]["x"][-1] == 4999


def test_new_points_leave_the_chart_as_it_is_so_that_it_is_not_drawn_anew() -> None:
    def chart(points: int) -> object:
        line = Line("a", list(range(points)), [0.5] * points)
        return curves([line], title="t", x="x", y="y").spec

    assert chart(100) == chart(200)


def test_a_chart_becomes_a_picture_without_a_network() -> None:
    picture = png(curves([Line("a", [1, 2], [3.0, 2.0])], title="t", x="step", y="nats"))
    assert picture.startswith(b"\x89PNG")


def test_a_table_shows_markup_as_text() -> None:
    def page() -> None:
        from frontend.parts.tables import Cell, table

        table(["<i>", "n"], [["<b>x</b>", Cell("'", href="run?id='x'")]], numbers=[1])

    app = AppTest.from_function(page).run()
    [html] = app.get("html")
    body = html.proto.body
    assert "&lt;b&gt;x&lt;/b&gt;" in body
    assert "&lt;i&gt;" in body
    assert "href='run?id=&#x27;x&#x27;'" in body


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (amount(1_234_567), "1.23 M"),
        (amount(999), "999"),
        (amount(None), "–"),
        (amount(2.58e12), "2.58 T"),
        (size(1_500_000), "1.5 MB"),
        (size(12), "12 B"),
        (score(0.561), "56.1"),
        (score(-0.02), "−2.0"),
        (score(None), "–"),
        (percent(0.874), "87 %"),
        (ago(NOW - 5, NOW), "just now"),
        (ago(NOW - 65, NOW), "1 min ago"),
        (ago(NOW - 7_300, NOW), "2 h ago"),
        (ago(None), "–"),
    ],
)
def test_numbers_in_words(shown: str, expected: str) -> None:
    assert shown == expected

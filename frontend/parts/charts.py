"""Line charts: every one says what it shows, in which unit, and reads without colours.

They are Vega-Lite written out: to build and check a page of them with a library takes a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from frontend.parts.colours import CATEGORIES, DASHES

HEIGHT = 260
_RULE = "#7a7a7a"
# With so few points each of them is drawn.
_FEW = 60
# Points that a pointer can find, of all lines together and of each at least: they are what takes
# time to draw, and closer ones cannot be told apart.
_MOST_POINTS, _LEAST_POINTS = 60, 12

# In pixels: a letter of a legend, one of its rows, and the plot on a narrow screen.
_LETTER, _LEGEND_ROW, _NARROW = 6.5, 18, 330

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Line:
    """A line; a value of None is a gap."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float | None]


@dataclass(frozen=True)
class Band:
    """What lies around the line of the same label: from `low` to `high`."""

    label: str
    xs: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@dataclass(frozen=True)
class Mark:
    """A vertical rule with a word beside it."""

    x: float
    label: str


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification and its data by name.

    They are apart so that new points move into the chart that there is: nothing flickers.
    """

    spec: dict[str, Any]
    data: dict[str, Columns]

    def to_dict(self) -> dict[str, Any]:
        """The whole specification, with its data as rows."""
        rows = {
            name: [
                dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
            ]
            for name, columns in self.data.items()
        }
        return self.spec | {"datasets": rows}


def curves(
    lines: Sequence[Line],
    *,
    title: str,
    x: str,
    y: str,
    marks: Sequence[Mark] = (),
    bands: Sequence[Band] = (),
    log: bool = False,
    height: int = HEIGHT,
) -> Chart:
    """A chart of lines over a common axis.

    Args:
        title: what it shows.
        x: the title of the horizontal axis, with its unit.
        y: of the vertical one.
        bands: the spread around lines.
        log: whether the vertical axis is logarithmic.
    """
    labels = list(dict.fromkeys(line.label for line in lines))
    rows = [_rows(line, log) for line in lines]
    few = sum(map(len, rows)) <= _FEW
    most = max(_LEAST_POINTS, _MOST_POINTS // max(1, len(rows)))
    x_axis = {
        "field": "x",
        "type": "quantitative",
        "title": x,
        # Each number in a form of its own: 200, 1k; not 0.2k, 1k.
        "axis": {
            "labelExpr": "format(datum.value, '~s')",
            "tickCount": 6,
            "grid": False,
            "labelPadding": 6,
            "titlePadding": 4,
        },
    }
    y_axis = {
        "type": "quantitative",
        "title": y,
        "scale": {"zero": False, "type": "log" if log else "linear", "nice": True},
        # Its title stands over it, where it can be read.
        "axis": {"tickCount": 5, "labelPadding": 6, **_ON_TOP},
    }
    colour = _by_line(labels, [CATEGORIES[i % len(CATEGORIES)] for i in range(len(labels))])
    common = {"x": x_axis, "y": {"field": "y", **y_axis}, "color": colour}
    line = {
        "data": {"name": "lines"},
        "mark": {"type": "line", "strokeWidth": 2, "clip": True},
        "encoding": common | {"strokeDash": _by_line(labels, _dashes(len(labels)))},
    }
    # A line of one point is invisible. What is nearest to the pointer is told of.
    near = {"type": "point", "nearest": True, "on": "pointermove", "clear": "pointerout"}
    dots = {
        "data": {"name": "points"},
        "mark": {"type": "point", "size": 40, "filled": True},
        "params": [{"name": "near", "select": near}],
        "encoding": common
        | {
            "opacity": {
                "condition": {"param": "near", "empty": False, "value": 1.0},
                "value": 0.9 if few else 0.0,
            },
            "tooltip": [
                {"field": "line", "type": "nominal", "title": " "},
                {"field": "x", "type": "quantitative", "title": x, "format": ",.6~g"},
                {"field": "y", "type": "quantitative", "title": y, "format": ".4~g"},
            ],
        },
    }
    area = {
        "data": {"name": "bands"},
        "mark": {"type": "area", "opacity": 0.2},
        "encoding": common | {"y": {"field": "low", **y_axis}, "y2": {"field": "high"}},
    }
    heading = {"text": title, "anchor": "start", "frame": "group", "fontSize": 14, "offset": 6}
    spec = {
        "title": heading | {"fontWeight": 600},
        "width": "container",
        # What is below the first row of the legend takes nothing from the curves.
        "height": height + _LEGEND_ROW * (-(-len(labels) // _legend_columns(labels)) - 1),
        "layer": [*([area] if bands else []), line, dots, *(_RULES if marks else [])],
    }
    data = {
        "lines": _columns("x", "y", "line", [row for of_line in rows for row in of_line]),
        "points": _columns(
            "x", "y", "line", [row for of_line in rows for row in _thinned(of_line, most)]
        ),
    }
    if marks:
        data["marks"] = _columns("x", "label", [(mark.x, mark.label) for mark in marks])
    if bands:
        around = [
            (a, low, high, band.label)
            for band in bands
            for a, low, high in zip(band.xs, band.low, band.high, strict=True)
        ]
        data["bands"] = _columns("x", "low", "high", "line", around)
    return Chart(spec, data)


_ON_TOP = {
    "titleAngle": 0,
    "titleAlign": "left",
    "titleAnchor": "start",
    "titleBaseline": "bottom",
    "titleX": 0,
    "titleY": -8,
}
_AT_X = {"field": "x", "type": "quantitative"}
_RULES = [
    {
        "data": {"name": "marks"},
        "mark": {"type": "rule", "color": _RULE, "strokeDash": [4, 3]},
        "encoding": {"x": _AT_X},
    },
    {
        "data": {"name": "marks"},
        "mark": {
            "type": "text",
            "align": "left",
            "baseline": "top",
            "dx": 5,
            "dy": 8,
            "fontSize": 11,
            "color": _RULE,
        },
        "encoding": {"x": _AT_X, "y": {"value": 0}, "text": {"field": "label", "type": "nominal"}},
    },
]
_LEGEND = {
    "orient": "bottom",
    "title": None,
    "labelLimit": 240,
    "symbolType": "stroke",
    "symbolOpacity": 1,
    "offset": 4,
}


def _by_line(labels: list[str], range_: list[Any]) -> dict[str, Any]:
    return {
        "field": "line",
        "type": "nominal",
        "scale": {"domain": labels, "range": range_},
        "legend": _LEGEND | {"columns": _legend_columns(labels)} if len(labels) > 1 else None,
    }


def _legend_columns(labels: list[str]) -> int:
    """As many names beside each other as a narrow screen shows; of many lines, a wide one."""
    widths = [_LETTER * (len(label) + 6) for label in labels]
    if sum(widths) <= _NARROW:
        return max(1, len(labels))
    if len(labels) > 6:
        return 3
    return max(1, int(_NARROW // max(widths)))


def _dashes(lines: int) -> list[list[int]]:
    """While there are enough each line has dashes of its own, then each round of the colours."""
    if lines <= len(DASHES):
        return [list(DASHES[i]) for i in range(lines)]
    return [list(DASHES[i // len(CATEGORIES) % len(DASHES)]) for i in range(lines)]


def _rows(line: Line, log: bool) -> list[tuple[float, float, str]]:
    return [
        (a, b, line.label)
        for a, b in zip(line.xs, line.ys, strict=True)
        if b is not None and (not log or b > 0)
    ]


def _thinned(rows: list[tuple[float, float, str]], most: int) -> list[tuple[float, float, str]]:
    """At most `most` rows at equal distances, always the last one."""
    every = -(-len(rows) // most) if rows else 1
    return rows[::-every][::-1]


def _columns(*given: Any) -> Columns:
    """Rows by column: the names, then the rows."""
    *names, rows = given
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def draw(chart: Chart, key: str, alt_text: str) -> None:
    """Shows a chart; `alt_text` is for those who cannot see it. A new text draws it anew."""
    import pyarrow as pa

    data = {name: pa.table(columns) for name, columns in chart.data.items()}
    st.vega_lite_chart(spec=chart.spec | {"datasets": data}, key=key, alt=alt_text)


def png(chart: Chart, width: int = 900, scale: float = 2.0) -> bytes:
    """The chart as a picture on white, drawn here: nothing is asked of the network."""
    import vl_convert

    spec = chart.to_dict() | {"width": width, "background": "white"}
    picture: bytes = vl_convert.vegalite_to_png(spec, scale=scale)
    return picture

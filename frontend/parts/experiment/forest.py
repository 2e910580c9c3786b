"""Differences to the baseline as a forest plot: a mark and its interval for each method."""

from __future__ import annotations

from typing import Any

import streamlit as st

from entromask.resources import ExperimentSummary
from entromask.wire.summary import SummaryCell, SummaryDifference, SummaryMeasure
from frontend.parts.charts import Chart, Columns, draw
from frontend.parts.colours import CATEGORIES

_AT = {"steps": "equal steps", "compute": "equal compute"}
_SHAPES = ("circle", "square")
_RULE = "#7a7a7a"
# In pixels: of a difference, of the axis with the title, and of the legend.
_ROW, _AXIS, _LEGEND = 26, 85, 55
_SIGNIFICANT = 0.05


def show_forest(summary: ExperimentSummary, measure: SummaryMeasure) -> bool:
    """The plot of one measure; false, and nothing, where it has no difference."""
    found = differences(summary, measure)
    if not found:
        return False
    names = ", ".join(dict.fromkeys(label for label, _ in found))
    draw(forest(found, measure), "forest", f"Differences in {measure.label}: {names}")
    said = (
        "At equal steps the difference is to the baseline, at equal compute to random masking that "
        f"costs as much. Lines: {100 * summary.level:.0f} % intervals. Filled: p below "
        f"{_SIGNIFICANT} after Holm's correction."
    )
    if all(one.low is None for _, one in found):
        said = "One pretraining seed of each: there is no interval and no test."
    st.caption(said)
    return True


def differences(
    summary: ExperimentSummary, measure: SummaryMeasure
) -> list[tuple[str, SummaryDifference]]:
    """(the method in words, the difference), in the order of the table."""
    labels = {cell.key: cell.label for cell in summary.cells}
    several = len({cell.baseline for cell in summary.cells if cell.baseline}) > 1

    def name(cell: SummaryCell) -> str:
        home = labels.get(cell.baseline or "") if several else None
        return f"{cell.label} against {home}" if home else cell.label

    return [
        (name(cell), one)
        for cell in summary.cells
        for result in cell.results
        if result.measure == measure.key
        for one in result.differences
    ]


def forest(found: list[tuple[str, SummaryDifference]], measure: SummaryMeasure) -> Chart:
    """The chart; scores are shown in points, x 100."""
    scale = 100.0 if measure.unit == "score" else 1.0
    labels = list(dict.fromkeys(label for label, _ in found))
    kinds = [words for at, words in _AT.items() if any(one.at == at for _, one in found)]
    unit = "points" if measure.unit == "score" else "nats"
    # Whose tasks stand beside the plot: a long title would take its place.
    name = measure.label.partition(":")[0]
    better = "right" if measure.higher_is_better else "left"
    y: dict[str, Any] = {
        "field": "label",
        "type": "nominal",
        "scale": {"domain": labels},
        "title": None,
        "axis": {"labelLimit": 150, "ticks": False, "domain": False, "labelPadding": 8},
    }
    offset = (
        {"yOffset": {"field": "at", "type": "nominal", "scale": {"domain": kinds}}}
        if len(kinds) > 1
        else {}
    )
    x_axis = {
        "title": f"{unit}; better to the {better}",
        "tickCount": 6,
        "titlePadding": 6,
        "format": "~g",
    }
    x = {"type": "quantitative", "axis": x_axis, "scale": {"zero": True, "nice": True}}
    legend = {"orient": "bottom", "title": None, "labelLimit": 300, "columns": 1}
    shown = legend if len(kinds) > 1 else None
    colour = {
        "field": "at",
        "type": "nominal",
        "scale": {"domain": kinds, "range": list(CATEGORIES[: len(kinds)])},
        "legend": shown,
    }
    common = {"y": y, **offset, "color": colour}
    shape = {
        "field": "at",
        "type": "nominal",
        "scale": {"domain": kinds, "range": list(_SHAPES[: len(kinds)])},
        "legend": shown,
    }
    rows = [one for _, one in found]
    known = [one.p_holm is not None and one.p_holm < _SIGNIFICANT for one in rows]
    intervals = {
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": common | {"x": {"field": "low"} | x, "x2": {"field": "high"}},
    }
    heading = {"text": f"Differences: {name}", "anchor": "start", "frame": "bounds"}
    spec = {
        "title": heading | {"fontSize": 14, "fontWeight": 600, "offset": 6},
        "width": "container",
        "height": _ROW * len(labels) * len(kinds) + _AXIS + _LEGEND * (len(kinds) > 1),
        "data": {"name": "differences"},
        "layer": [
            {
                "mark": {"type": "rule", "color": _RULE, "strokeDash": [4, 3]},
                "encoding": {"x": {"datum": 0, "type": "quantitative"}},
            },
            *([intervals] if any(one.low is not None for one in rows) else []),
            *(_points(common, x, shape, unit, sure) for sure in sorted(set(known), reverse=True)),
        ],
    }
    data: Columns = {
        "label": [label for label, _ in found],
        "at": [_AT[one.at] for one in rows],
        "mean": [scale * one.mean for one in rows],
        "low": [None if one.low is None else scale * one.low for one in rows],
        "high": [None if one.high is None else scale * one.high for one in rows],
        "n": [one.n for one in rows],
        "p": [one.p_holm for one in rows],
        "sure": known,
    }
    return Chart(spec, {"differences": data})


def _points(
    common: dict[str, Any],
    x: dict[str, Any],
    shape: dict[str, Any],
    unit: str,
    sure: bool,
) -> dict[str, Any]:
    """The marks of the differences: filled those that are sure, hollow the others."""
    number = {"type": "quantitative", "format": "+.3~f"}
    return {
        "transform": [{"filter": "datum.sure" if sure else "!datum.sure"}],
        "mark": {"type": "point", "size": 80, "strokeWidth": 2, "filled": sure},
        "encoding": common
        | {
            "x": {"field": "mean"} | x,
            "shape": shape,
            "tooltip": [
                {"field": "label", "type": "nominal", "title": " "},
                {"field": "at", "type": "nominal", "title": "at"},
                {"field": "mean", "title": unit} | number,
                {"field": "low", "title": "from"} | number,
                {"field": "high", "title": "to"} | number,
                {"field": "n", "type": "quantitative", "title": "seeds"},
                {"field": "p", "type": "quantitative", "title": "p (Holm)"},
            ],
        },
    }

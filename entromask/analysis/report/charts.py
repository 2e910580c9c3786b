"""The charts of a report as Vega-Lite: differences as forest plots, learning curves with bands.

Their text and lines are in the page's own colour, so that they read on light and on dark.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from typing import Any

from entromask.analysis.report.document import Figure
from entromask.analysis.report.results_table import SIGNIFICANT
from entromask.analysis.results import result_of
from entromask.wire.summary import ExperimentSummary, SummaryCell, SummaryDifference, SummaryMeasure

# Okabe and Ito, Color Universal Design (2008), without yellow and black: told apart by
# colour-blind people, and on light and dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [10, 4])
_AT = ("steps", "compute")
_INK = "currentColor"
# The width of a chart among others.
_SMALL = 240
# Pixels for the name of a method.
_LABEL = 165
_FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"

_CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": _INK,
        "titleColor": _INK,
        "domainColor": _INK,
        "domainOpacity": 0.4,
        "tickColor": _INK,
        "tickOpacity": 0.4,
        "gridColor": _INK,
        "gridOpacity": 0.12,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {"labelColor": _INK, "labelFontSize": 12, "titleColor": _INK},
}


def forest_figures(summary: ExperimentSummary) -> tuple[Figure, ...]:
    """One chart for each measure with differences."""
    found = (_forest(summary, measure) for measure in summary.measures)
    return tuple(figure for figure in found if figure is not None)


def _forest(summary: ExperimentSummary, measure: SummaryMeasure) -> Figure | None:
    scale = 100.0 if measure.unit == "score" else 1.0
    unit = "points" if measure.unit == "score" else "nats"
    labels: list[str] = []
    rows, said = [], []
    for cell in summary.cells:
        result = result_of(cell.results, measure.key)
        if result is None or not result.differences:
            continue
        for one in result.differences:
            rows.append(_point(one, len(labels), scale))
            said.append(f"{cell.label} {scale * one.mean:+.3g} (equal {one.at})")
        labels.append(cell.label)
    if not rows:
        return None
    better = "right" if measure.higher_is_better else "left"
    spec = _forest_spec(rows, labels, f"{unit}; better to the {better}")
    return Figure(measure.label, f"{measure.label}, difference in {unit}: {'; '.join(said)}", spec)


def _point(one: SummaryDifference, place: int, scale: float) -> dict[str, Any]:
    point = {"place": place, "at": one.at, "mean": scale * one.mean}
    if one.low is not None and one.high is not None:
        point |= {"low": scale * one.low, "high": scale * one.high}
    return point | {"sure": one.p_holm is not None and one.p_holm < SIGNIFICANT}


def _forest_spec(rows: Sequence[dict[str, Any]], labels: Sequence[str], x: str) -> dict[str, Any]:
    # A label of several lines is a list; rows are told apart by their place, not by the label.
    lines = json.dumps([textwrap.wrap(one, 22, max_lines=2, placeholder="…") for one in labels])
    several = len({row["at"] for row in rows}) > 1
    y: dict[str, Any] = {
        "field": "place",
        "type": "ordinal",
        "title": None,
        "axis": {
            "labelExpr": f"{lines}[datum.value]",
            "labelLimit": _LABEL,
            "minExtent": _LABEL,
            "ticks": False,
            "domain": False,
            "labelPadding": 8,
        },
    }
    position: dict[str, Any] = {"y": y}
    if several:
        position["yOffset"] = {"field": "at", "type": "nominal", "sort": list(_AT)}
    colour = _by_at(COLOURS[:2])
    number: dict[str, Any] = {"type": "quantitative", "scale": {"zero": True, "nice": True}}
    axis = {"title": x, "tickCount": 5, "grid": True}
    mean = number | {"field": "mean", "axis": axis}
    shape = _by_at(["circle", "square"])
    zero: dict[str, Any] = {
        "data": {"values": [{"zero": 0}]},
        "mark": {"type": "rule", "color": _INK, "opacity": 0.6, "strokeDash": [4, 3]},
        "encoding": {"x": number | {"field": "zero"}},
    }
    interval: dict[str, Any] = {
        "transform": [{"filter": "isValid(datum.low)"}],
        "mark": {"type": "rule", "strokeWidth": 2},
        "encoding": position
        | {"x": number | {"field": "low"}, "x2": {"field": "high"}, "color": colour},
    }
    points: list[dict[str, Any]] = [
        {
            "transform": [{"filter": f"datum.sure === {sure}"}],
            "mark": {"type": "point", "size": 55, "strokeWidth": 2, "opacity": 1, "filled": filled},
            "encoding": position | {"x": mean, "color": colour, "shape": shape},
        }
        for sure, filled in (("true", True), ("false", False))
    ]
    return {
        "width": 230,
        "height": {"step": 17, "for": "offset"} if several else {"step": 32},
        # Letters are wider in some browsers than where the chart is drawn.
        "padding": {"left": 20, "right": 15, "top": 5, "bottom": 5},
        "data": {"values": list(rows)},
        "layer": [zero, interval, *points],
        "config": _CONFIG,
    }


def _by_at(range_: Sequence[str]) -> dict[str, Any]:
    scale = {"domain": list(_AT), "range": list(range_)}
    return {"field": "at", "type": "nominal", "scale": scale, "legend": None}


def curve_figures(summary: ExperimentSummary) -> tuple[Figure, ...]:
    """All learning curves in one chart; of more than six methods one chart each.

    A chart of its own has the baseline beside the method.
    """
    cells = [cell for cell in summary.cells if len(cell.curve) > 1 and cell.role != "teacher"]
    if not cells:
        return ()
    if len(cells) <= len(COLOURS):
        return (_curves("Common validation loss", cells, width=500, height=260),)
    by_key = {cell.key: cell for cell in cells}
    return tuple(
        _curves(
            cell.label,
            [*([by_key[cell.baseline]] if cell.baseline in by_key else []), cell],
            width=_SMALL,
            height=170,
        )
        for cell in cells
    )


def _curves(title: str, cells: Sequence[SummaryCell], width: int, height: int) -> Figure:
    labels = [cell.label for cell in cells]
    values = [
        {"label": cell.label, **point.model_dump(include={"step", "mean", "low", "high"})}
        for cell in cells
        for point in cell.curve
    ]
    legend = {
        "orient": "bottom",
        "title": None,
        "columns": 3,
        "labelLimit": 170,
        "symbolType": "stroke",
        "symbolSize": 300,
        "symbolOpacity": 1,
        "symbolStrokeWidth": 2,
    }

    def by_label(range_: Sequence[Any]) -> dict[str, Any]:
        scale = {"domain": labels, "range": list(range_[: len(labels)])}
        shown = legend if width > _SMALL and len(labels) > 1 else None
        return {"field": "label", "type": "nominal", "scale": scale, "legend": shown}

    x = {
        "field": "step",
        "type": "quantitative",
        "title": "step",
        "axis": {"labelExpr": "format(datum.value, '~s')", "tickCount": 5, "grid": False},
    }
    y = {"type": "quantitative", "scale": {"zero": False}, "axis": {"title": "nats"}}
    common = {"x": x, "color": by_label(COLOURS)}
    spec = {
        "width": width,
        "height": height,
        "padding": {"left": 10, "right": 15, "top": 5, "bottom": 5},
        "data": {"values": values},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.2},
                "encoding": {**common, "y": {"field": "low", **y}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "line", "strokeWidth": 2},
                "encoding": {
                    **common,
                    "y": {"field": "mean", **y},
                    "strokeDash": by_label(_DASHES),
                },
            },
        ],
        "config": _CONFIG,
    }
    ends = "; ".join(
        f"{cell.label} {cell.curve[-1].mean:.3f} at step {cell.curve[-1].step:,}" for cell in cells
    )
    return Figure(title, f"Learning curves, {title}. The last means: {ends}", spec)

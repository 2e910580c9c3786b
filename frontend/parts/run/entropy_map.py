"""The predictive entropy over a training as a heat map: at each evaluation, how it is spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from entromask.client import Client
from entromask.resources import Event, Run
from frontend.parts.charts import HEIGHT, Chart, draw
from frontend.parts.known import events_of

TITLE = "Entropy over training"
# More columns than this cannot be told apart in the width of the page.
_MOST_COLUMNS = 120
_X, _Y = "step", "nats, predictive entropy on the common random mask"


def show_entropy_map(api: Client, run: Run) -> None:
    """A section that is closed at first, and asks for its events when it is opened."""
    box = st.expander(TITLE, key="entropy_map", on_change="rerun")
    if not box.open:
        return
    with box:
        chart = entropy_map(events_of(api, run, ("histogram",)))
        if chart is None:
            st.caption(
                "No evaluation has measured it: the first one is still to come, or the run is of "
                "a version that did not."
            )
            return
        draw(
            chart,
            "entropy map",
            "A heat map: at each step, the shares of the predictions by their entropy in nats",
        )
        st.caption(
            "Each column is an evaluation on the common random mask. A model without knowledge is "
            "at the top, at the logarithm of the vocabulary; one that is certain is at the bottom."
        )


def entropy_map(events: Sequence[Event]) -> Chart | None:
    """The heat map of events of type histogram; None where there is none of them."""
    found = [
        (event.step, event.metrics["entropy"], float(event.metrics["highest"]))
        for event in events
        if event.type == "histogram" and event.step is not None and event.metrics
    ]
    every = max(1, -(-len(found) // _MOST_COLUMNS))
    found = found[::-every][::-1]
    if not found:
        return None
    cells: dict[str, list[Any]] = {key: [] for key in ("from", "x", "low", "high", "share")}
    before = 0
    for step, shares, highest in found:
        width = highest / len(shares)
        for place, share in enumerate(shares):
            row = (before, step, place * width, (place + 1) * width, share)
            for values, value in zip(cells.values(), row, strict=True):
                values.append(value)
        before = step
    return Chart(_SPEC, {"cells": cells})


def _told(field: str, title: str, style: str) -> dict[str, str]:
    return {"field": field, "type": "quantitative", "title": title, "format": style}


_SPEC: dict[str, Any] = {
    "title": {
        "text": TITLE,
        "anchor": "start",
        "frame": "group",
        "fontSize": 14,
        "fontWeight": 600,
        "offset": 6,
    },
    "width": "container",
    "height": HEIGHT + 80,  # with its title and its axis
    "data": {"name": "cells"},
    "mark": {"type": "rect"},
    "encoding": {
        "x": {
            "field": "from",
            "type": "quantitative",
            "title": _X,
            "scale": {"nice": False},
            "axis": {"labelExpr": "format(datum.value, '~s')", "tickCount": 6, "grid": False},
        },
        "x2": {"field": "x"},
        "y": {
            "field": "low",
            "type": "quantitative",
            "title": _Y,
            "scale": {"nice": False},
            "axis": {
                "tickCount": 5,
                "grid": False,
                "titleAngle": 0,
                "titleAlign": "left",
                "titleAnchor": "start",
                "titleBaseline": "bottom",
                "titleX": 0,
                "titleY": -8,
            },
        },
        "y2": {"field": "high"},
        "color": {
            "field": "share",
            "type": "quantitative",
            "title": "share",
            # By their roots: the early columns hold nearly all in one cell, the later ones do not.
            "scale": {"type": "sqrt", "scheme": "cividis", "domainMin": 0},
            "legend": {"format": ".0%"},
        },
        "tooltip": [
            _told("x", "step", ","),
            _told("low", "from (nats)", ".3~g"),
            _told("high", "to (nats)", ".3~g"),
            _told("share", "share of the predictions", ".1%"),
        ],
    },
}

"""The curves of a run: which there are, what each shows, and when one that is missing comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import streamlit as st

from entromask.resources import MetricHistory, Series
from frontend.parts.charts import Line, Mark, curves, draw

# Points that a curve of half the page's width can show.
MAX_POINTS = 500
_STEP = "step"


@dataclass(frozen=True)
class Curve:
    """A chart.

    Args:
        lines: metrics by key, with their names in the legend.
        comes: when the first point of a run that goes on is there.
        absent: why a run that is over may have none.
        always: every run has it; of the others nothing is said where it is missing.
    """

    title: str
    y: str
    lines: Mapping[str, str] = field(default_factory=dict)
    comes: str = "with the first steps"
    absent: str = "none was measured"
    always: bool = True


_AT_VALIDATION = "with the first common validation"
_BY_STRATEGY = "with the first common validation after the strategy has begun"
_NOT_BEGUN = "the strategy's masks never began"

CURVES: tuple[Curve, ...] = (
    Curve(
        "Common validation loss",
        "nats, on the common random mask",
        {"validation_loss": "this run", "unigram_loss": "word frequencies alone"},
        _AT_VALIDATION,
    ),
    Curve("Training loss", "nats, on the strategy's own masks", {"training_loss": "this run"}),
    Curve(
        "Parts of the training loss",
        "nats, a mean per token",
        {
            "cross_entropy": "cross-entropy with the text",
            "distillation_divergence": "divergence from the teacher",
        },
        always=False,  # with distillation
    ),
    Curve(
        "Mean predictive entropy",
        "nats, on the common random mask",
        {"validation_entropy": "this run"},
        _AT_VALIDATION,
        "the run is of a version that did not measure it",
    ),
    Curve(
        "Distinct token types",
        "share of the types met that are masked",
        {"distinct_type_share": "this run"},
        _BY_STRATEGY,
        _NOT_BEGUN,
    ),
    Curve(
        "100 most frequent types",
        "share of the masks that fall on them",
        {"frequent_type_share": "this run"},
        _BY_STRATEGY,
        _NOT_BEGUN,
    ),
    Curve(
        "Effective token types",
        "those of the masks / those of the corpus",
        {"effective_type_ratio": "this run"},
        _BY_STRATEGY,
        f"{_NOT_BEGUN}, or the run is of a version that did not measure it",
    ),
    Curve(
        "Mask-repeat rate",
        "share of masks repeated an epoch later",
        {"mask_repeat_rate": "this run"},
        "in the second epoch, when rows come again",
        "no row of the corpus came again under the strategy",
    ),
    Curve(
        "Stored against fresh scores",
        "share of the selection in common; correlation",
        {
            "cache_agreement": "selection in common",
            "cache_agreement_uniform": "uniform selection (floor)",
            "cache_correlation": "correlation of the scores",
        },
        always=False,  # with cached scores of the model itself
    ),
    Curve("Speed", "tokens per second", {"tokens_per_second": "this run"}),
    Curve("Learning rate", "learning rate", {"learning_rate": "this run"}),
)
KEYS = tuple(key for curve in CURVES for key in curve.lines)
# What a chart is about: where this has no point, the chart is not drawn.
_FIRST = {curve.title: next(iter(curve.lines)) for curve in CURVES}


def there(curve: Curve, history: MetricHistory) -> bool:
    """Whether a chart has a point to show."""
    found = history.series.get(_FIRST[curve.title])
    return found is not None and any(value is not None for value in found.values)


def lines_of(curve: Curve, history: MetricHistory) -> list[Line]:
    empty = Series(steps=[], values=[], points=0)
    return [
        Line(label, series.steps, series.values)
        for key, label in curve.lines.items()
        if (series := history.series.get(key, empty)).steps
    ]


def missing(history: MetricHistory, over: bool) -> str:
    """Says of the charts that are not drawn when they come, or why they did not."""
    words = [
        f"{curve.title.lower()}: {curve.absent if over else curve.comes}"
        for curve in CURVES
        if curve.always and not there(curve, history)
    ]
    if not words:
        return ""
    return f"{'Not drawn' if over else 'Still to come'}. {'; '.join(words).capitalize()}."


def show_curves(history: MetricHistory, marks: Sequence[Mark], over: bool) -> None:
    """All charts that have points, two beside each other where there is room."""
    drawn = [curve for curve in CURVES if there(curve, history)]
    for start in range(0, len(drawn), 2):
        for column, curve in zip(st.columns(2, gap="medium"), drawn[start:], strict=False):
            with column:
                lines = lines_of(curve, history)
                chart = curves(lines, title=curve.title, x=_STEP, y=curve.y, marks=marks)
                draw(chart, f"curve {_FIRST[curve.title]}", _words(curve))
    if drawn and (most := max(series.points for series in history.series.values())) > MAX_POINTS:
        st.caption(
            f"Each line shows {MAX_POINTS:,} of up to {most:,} points, as they were measured."
        )
    if sentence := missing(history, over):
        st.caption(sentence)


def _words(curve: Curve) -> str:
    """A chart for those who cannot see it; without numbers, which would draw it anew each time."""
    return f"{curve.title} ({curve.y}) over steps: {', '.join(curve.lines.values())}"

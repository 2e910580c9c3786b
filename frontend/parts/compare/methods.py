"""Chosen runs as methods: the seeds of one method are one line, one colour, one column."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from entromask.resources import OVER, MetricHistory, Run
from frontend.parts.charts import Band, Line

_SEED_SUFFIX = re.compile(r"[-_ .](seed|s)?[-_ =]?\d+$")
_MOST_STEPS = 400


@dataclass(frozen=True)
class Quantity:
    """What is drawn: `key` among the metrics, its title, its unit."""

    key: str
    title: str
    unit: str


@dataclass(frozen=True)
class Over:
    """What it is drawn over.

    Args:
        key: of the metric; None for steps.
        scoring: of the metric with what the teacher's stored scores cost before the first step.
    """

    key: str | None
    title: str
    scoring: str | None = None


_COMMON, _OF_TYPES = "nats, on the common random mask", "share of the types met that are masked"
QUANTITIES = {
    one.title: one
    for one in (
        Quantity("validation_loss", "Common validation loss", _COMMON),
        Quantity("validation_entropy", "Mean predictive entropy", _COMMON),
        Quantity(
            "training_loss", "Training loss", "nats, on each strategy's own masks: not comparable"
        ),
        Quantity("distinct_type_share", "Distinct token types", _OF_TYPES),
        Quantity(
            "frequent_type_share", "100 most frequent types", "share of the masks that fall on them"
        ),
        Quantity("mask_repeat_rate", "Mask-repeat rate", "share of masks repeated an epoch later"),
        Quantity("tokens_per_second", "Speed", "tokens per second"),
    )
}
OVERS = {
    "steps": Over(None, "step"),
    "tokens": Over("tokens", "tokens"),
    "FLOPs": Over("flops", "FLOPs, teacher scoring included", "scoring_flops"),
    "wall clock": Over("seconds", "seconds, teacher scoring included", "scoring_seconds"),
}
KEYS = (
    *(quantity.key for quantity in QUANTITIES.values()),
    *(key for over in OVERS.values() for key in (over.key, over.scoring) if key),
)


@dataclass(frozen=True)
class Method:
    """Runs that differ in the seed alone, one or several."""

    label: str
    group: str
    runs: tuple[Run, ...]

    @property
    def done(self) -> list[Run]:
        """Those that a table can hold."""
        return [run for run in self.runs if run.status == "succeeded"]


def methods_of(runs: Sequence[Run], labels: Mapping[str, str]) -> list[Method]:
    """The runs by method, in the order in which they were chosen.

    Args:
        labels: by group hash, where a comparison has named them.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.group_hash, []).append(run)
    names = {group: labels.get(group) or _label(members) for group, members in groups.items()}
    taken = list(names.values())
    for group, name in names.items():
        if taken.count(name) > 1:
            names[group] = f"{name} ({groups[group][0].id[-4:]})"
    return [Method(names[group], group, tuple(members)) for group, members in groups.items()]


def _label(members: Sequence[Run]) -> str:
    """The common name of the seeds of one method: `random-s0`, `random-s1` is `random`."""
    names = {_SEED_SUFFIX.sub("", run.name) or run.name for run in members}
    return names.pop() if len(members) > 1 and len(names) == 1 else members[0].name


def lines_of(
    methods: Sequence[Method],
    histories: Mapping[str, MetricHistory],
    quantity: Quantity,
    over: Over,
) -> tuple[list[Line], list[Band]]:
    """A line for each method; of several finished seeds their mean, with a band around it.

    A seed that is not finished has a line of its own: its end would bend the mean.
    """
    lines: list[Line] = []
    bands: list[Band] = []
    for method in methods:
        done = [run for run in method.runs if run.status in OVER]
        tracks = [track for run in done if (track := _track(histories[run.id], quantity, over))]
        if len(tracks) == 1:
            lines.append(Line(method.label, tracks[0].xs, tracks[0].ys))
        elif tracks:
            line, band = _mean(method.label, tracks)
            lines.append(line)
            bands.append(band)
        for run in method.runs:
            track = None if run in done else _track(histories[run.id], quantity, over)
            if track:
                alone = len(method.runs) == 1
                label = method.label if alone else f"{method.label}, seed {run.seed} ({run.status})"
                lines.append(Line(label, track.xs, track.ys))
    return lines, bands


@dataclass(frozen=True)
class _Track:
    """A quantity of one run at its steps, with the place of each step on the axis."""

    steps: list[int]
    xs: list[float]
    ys: list[float]


def _track(history: MetricHistory, quantity: Quantity, over: Over) -> _Track | None:
    series = history.series.get(quantity.key)
    if series is None:
        return None
    points = [(s, v) for s, v in zip(series.steps, series.values, strict=True) if v is not None]
    steps, ys = [s for s, _ in points], [v for _, v in points]
    if over.key is None:
        xs = [float(step) for step in steps]
    else:
        spent = history.series.get(over.key)
        if spent is None or not spent.steps:
            return None
        known = [(s, v) for s, v in zip(spent.steps, spent.values, strict=True) if v is not None]
        # Before the first step only the teacher's stored scores are paid for.
        before = _cost_of_scoring(history, over)
        at = [0, *(s for s, _ in known)]
        of = [before, *(before + v for _, v in known)]
        xs = [interpolated(step, at, of) for step in steps]
    return _Track(steps, xs, ys) if steps else None


def _cost_of_scoring(history: MetricHistory, over: Over) -> float:
    """What the teacher's stored scores cost; 0 for a run that stores none."""
    series = history.series.get(over.scoring or "")
    values = [] if series is None else [value for value in series.values if value is not None]
    return values[-1] if values else 0.0


def interpolated(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """The value at x on the line through the points; at its ends the line stops rising."""
    place = bisect_left(xs, x)
    if place == 0:
        return ys[0]
    if place == len(xs):
        return ys[-1]
    left, right = xs[place - 1], xs[place]
    share = (x - left) / (right - left)
    return ys[place - 1] + share * (ys[place] - ys[place - 1])


def _mean(label: str, tracks: Sequence[_Track]) -> tuple[Line, Band]:
    """The mean over the steps that all tracks reach, and the lowest and highest beside it."""
    first = max(track.steps[0] for track in tracks)
    last = min(track.steps[-1] for track in tracks)
    steps = sorted({s for track in tracks for s in track.steps if first <= s <= last})
    every = -(-len(steps) // _MOST_STEPS) or 1
    steps = steps[::-every][::-1]
    values = [[interpolated(step, t.steps, t.ys) for t in tracks] for step in steps]
    xs = [fmean(interpolated(step, t.steps, t.xs) for t in tracks) for step in steps]
    line = Line(label, xs, [fmean(at) for at in values])
    return line, Band(label, xs, [min(at) for at in values], [max(at) for at in values])

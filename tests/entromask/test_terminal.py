"""What a run shows, for a scripted stream of events."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from entromask.terminal import BarReporter, JsonReporter, LineReporter, duration, reporter, words

EVENTS: list[dict[str, Any]] = [
    {"seq": 1, "type": "stage", "stage": "preparing", "message": "preparing"},
    {"seq": 2, "type": "progress", "stage": "preparing", "step": 10, "total": 10},
    {"seq": 3, "type": "stage", "stage": "pretraining", "message": "pretraining"},
    *(
        {
            "seq": 3 + step,
            "type": "progress",
            "stage": "pretraining",
            "step": step,
            "total": 100,
            "metrics": {"training_loss": 6.5, "tokens_per_second": 38700.0, "eta_seconds": 75.0},
        }
        for step in range(1, 101)
    ),
    {"type": "plateau", "stage": "pretraining", "step": 60, "message": "left the unigram plateau"},
    {
        "type": "metrics",
        "stage": "pretraining",
        "step": 100,
        "metrics": {"validation_loss": 4.94, "unigram_loss": 6.71},
    },
    {"type": "checkpoint", "stage": "pretraining", "step": 100, "metrics": {}},
    {"type": "warning", "stage": "pretraining", "message": "checkpoint step-50 is damaged"},
    {
        "type": "result",
        "stage": "evaluating",
        "message": "rte, fine-tuning seed 0",
        "metrics": {"accuracy": 0.561},
    },
    {"type": "warning", "stage": "reporting", "message": "said under the table"},
    {"type": "done", "stage": "reporting", "metrics": {"loss": 4.94}},
]


def console(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=100, color_system=None), out


def test_lines_say_each_event_in_words() -> None:
    here, out = console(terminal=False)
    report = LineReporter(here, clock=lambda: 0.0)
    for event in EVENTS:
        report(event)
    lines = out.getvalue().splitlines()
    assert lines[:4] == [
        "== preparing",
        "preparing 10/10",
        "== pretraining",
        "pretraining 100/100  loss 6.500, 38,700 tokens/s, 1:15 left",
    ]
    assert lines[4:] == [
        "step 60: left the unigram plateau",
        "validation at step 100: validation_loss 4.940, unigram_loss 6.710",
        "warning: checkpoint step-50 is damaged",
        "result: rte, fine-tuning seed 0: accuracy 0.561",
    ]


def test_progress_comes_at_most_every_few_seconds_and_always_at_the_end() -> None:
    now = [100.0]
    here, out = console(terminal=False)
    report = LineReporter(here, every=5.0, clock=lambda: now[0])
    for event in EVENTS:
        if event["type"] == "progress" and event["stage"] == "pretraining":
            report(event)
            now[0] += 0.3  # 30 s for all of it
    steps = [int(line.split()[1].split("/")[0]) for line in out.getvalue().splitlines()]
    assert steps == [1, 18, 35, 52, 69, 86, 100]


def test_bars_show_a_line_for_each_stage_with_speed_and_time_left() -> None:
    here, out = console(terminal=True)
    with BarReporter(here) as report:
        for event in EVENTS:
            report(event)
    text = out.getvalue()
    assert "100/100" in text
    assert "38,700 tokens/s, 1:15 left" in text
    assert "warning: checkpoint step-50 is damaged" in text
    final = text.rpartition("pretraining  ")[0]
    assert "preparing" in final


def test_json_lines_are_the_events() -> None:
    out = io.StringIO()
    with JsonReporter(out) as report:
        for event in EVENTS:
            report(event)
    assert [json.loads(line) for line in out.getvalue().splitlines()] == EVENTS


def test_quiet_shows_warnings_alone() -> None:
    here, out = console(terminal=True)
    with reporter(here, io.StringIO(), quiet=True) as report:
        for event in EVENTS:
            report(event)
    assert out.getvalue() == "warning: checkpoint step-50 is damaged\n"


def test_the_reporter_fits_its_place() -> None:
    assert isinstance(reporter(console(terminal=True)[0], io.StringIO()), BarReporter)
    assert isinstance(reporter(console(terminal=False)[0], io.StringIO()), LineReporter)
    assert isinstance(
        reporter(console(terminal=True)[0], io.StringIO(), as_json=True), JsonReporter
    )


def test_markup_in_a_message_is_text() -> None:
    here, out = console(terminal=False)
    LineReporter(here)({"type": "warning", "message": "use [MASK] and [bold]"})
    assert out.getvalue() == "warning: use [MASK] and [bold]\n"


def test_an_event_of_an_unknown_type_says_nothing() -> None:
    assert words({"type": "heartbeat"}) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (75, "1:15"), (3675, "1:01:15"), (59.7, "1:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text

"""What a run shows while it works: bars on a terminal, plain lines elsewhere, JSON for scripts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

Event = Mapping[str, Any]


class Reporter(Protocol):
    """Takes a pipeline's events one after another; a context manager, entered once."""

    def __call__(self, event: Event) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def reporter(console: Console, out: TextIO, as_json: bool = False, quiet: bool = False) -> Reporter:
    """The reporter that fits: JSON lines on `out`, or words on `console`."""
    if as_json:
        return JsonReporter(out)
    if quiet:
        return LineReporter(console, kinds=("warning",))
    return BarReporter(console) if console.is_terminal else LineReporter(console)


class _Plain:
    """Needs nothing set up and nothing taken down."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None


class JsonReporter(_Plain):
    """Each event as one line of JSON, written out at once."""

    def __init__(self, out: TextIO) -> None:
        self.out = out

    def __call__(self, event: Event) -> None:
        self.out.write(json.dumps(event, ensure_ascii=False, default=str) + "\n")
        self.out.flush()


class LineReporter(_Plain):
    """Plain lines, for logs: progress at most every `every` seconds, everything else at once."""

    def __init__(
        self,
        console: Console,
        every: float = 5.0,
        kinds: tuple[str, ...] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.console, self.every, self.kinds, self.clock = console, every, kinds, clock
        self.due = 0.0

    def __call__(self, event: Event) -> None:
        kind = event["type"]
        if self.kinds is not None and kind not in self.kinds:
            return
        if kind == "progress":
            whole = event.get("total") is not None and event.get("step") == event["total"]
            if self.clock() < self.due and not whole:
                return
            self.due = self.clock() + self.every
        if line := words(event):
            self.console.print(line, markup=False, highlight=False, soft_wrap=True)


class BarReporter:
    """One bar for each stage, with tokens per second and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
        )
        self.bars: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def __call__(self, event: Event) -> None:
        if event["type"] in ("stage", "progress"):
            self._move(event)
        elif line := words(event):
            self.console.print(line, markup=False, highlight=False)

    def _move(self, event: Event) -> None:
        stage = str(event.get("stage") or "")
        if stage not in self.bars:
            self.bars[stage] = self.progress.add_task(stage, total=event.get("total"), detail="")
        self.progress.update(
            self.bars[stage],
            completed=event.get("step") or 0,
            total=event.get("total"),
            detail=measures(event),
        )


def words(event: Event) -> str:
    """An event in one line; empty for events that say nothing to a reader."""
    describe = _WORDS.get(event["type"])
    return describe(event) if describe else ""


def measures(event: Event) -> str:
    """The metrics of an event in words: loss, tokens per second, time left."""
    metrics = event.get("metrics") or {}
    return ", ".join(
        text(metrics[key])
        for key, text in _MEASURES.items()
        if isinstance(metrics.get(key), int | float)
    )


def duration(seconds: float) -> str:
    """`75` is `1:15`, `3675` is `1:01:15`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


_MEASURES: dict[str, Callable[[float], str]] = {
    "training_loss": lambda x: f"loss {x:.3f}",
    "tokens_per_second": lambda x: f"{x:,.0f} tokens/s",
    "eta_seconds": lambda x: f"{duration(x)} left",
}


def _progress(event: Event) -> str:
    total = event.get("total")
    position = f"{event.get('step') or 0}" + (f"/{total}" if total is not None else "")
    detail = measures(event)
    return f"{event.get('stage')} {position}" + (f"  {detail}" if detail else "")


def _numbers(event: Event) -> str:
    metrics = event.get("metrics") or {}
    return ", ".join(
        f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}"
        for key, value in metrics.items()
        if isinstance(value, int | float | str)
    )


def _validation(event: Event) -> str:
    at = f"at step {event['step']}: " if event.get("step") is not None else ""
    return f"validation {at}{_numbers(event)}"


def _warning(event: Event) -> str:
    # What the report warns about stands under the table that ends a run; once is enough.
    return "" if event.get("stage") == "reporting" else f"warning: {event.get('message')}"


def _result(event: Event) -> str:
    return ": ".join(part for part in ("result", event.get("message"), _numbers(event)) if part)


_WORDS: dict[str, Callable[[Event], str]] = {
    "stage": lambda event: f"== {event.get('stage')}",
    "progress": _progress,
    "metrics": _validation,
    "text": lambda event: str(event.get("message")),
    "warning": _warning,
    "resumed": lambda event: f"resumed at step {event.get('step')}",
    "plateau": lambda event: f"step {event.get('step')}: {event.get('message')}",
    "result": _result,
}

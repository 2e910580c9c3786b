"""A run's events as they happen: server-sent events, taken up again where a connection broke."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from entromask.resources import OVER, Event, Page, Progress, Resource, Run, RunStatus
from entromask.rest.errors import ApiError, UnreachableError
from entromask.rest.transport import Transport

# Without a sign of life for so long a stream is taken for broken; the server sends one sooner.
_SILENCE = 60.0
# For how long a service that was there may be away: it is being restarted.
_PATIENCE = 300.0
_SHORTEST, _LONGEST = 0.5, 5.0
_POLL = 1.0
_BUSY = (429, 502, 503, 504)
# Of the latest metrics: what the progress of a stage shows.
_SHOWN = {"pretraining": ("training_loss",)}


Read = TypeVar("Read", bound=Resource)


class _NoStreamError(Exception):
    """Something in between does not let a stream through."""


def follow(transport: Transport, path: str, after: int = 0) -> Iterator[Event]:
    """The events of the run at `path` behind `after`, until it is over; progress in between.

    A progress event has the sequence number of the event before it.

    Raises:
        ApiError: there is no such run.
        UnreachableError: the service was not there at first, or was away for five minutes.
    """
    follower = _Follower(transport, path, after)
    transport.get(Run, path)
    streams = True
    wait, away_since = _SHORTEST, None
    while True:
        before = follower.last
        try:
            if streams:
                yield from follower.stream()
            yield from follower.rest()
            if follower.over:
                return
            away_since = None
            wait = _POLL if not streams else _SHORTEST
        except _NoStreamError:
            streams = False
            continue
        except (UnreachableError, ApiError) as error:
            if isinstance(error, ApiError) and error.status not in _BUSY:
                raise
            if follower.last != before:
                away_since = None
            away_since = away_since or time.monotonic()
            if time.monotonic() - away_since > _PATIENCE:
                raise
            wait = min(_LONGEST, wait * 2)
        time.sleep(wait)


class _Standing(Resource):
    """What a message `progress` holds: how the run stands."""

    status: RunStatus
    stage: str | None = None
    progress: Progress | None = None
    metrics: dict[str, Any]


@dataclass
class _Frame:
    kind: str
    data: str


class _Follower:
    def __init__(self, transport: Transport, path: str, after: int) -> None:
        self.transport, self.path, self.last = transport, path, after
        self.over = False
        self._progress: tuple[object, ...] | None = None

    def stream(self) -> Iterator[Event]:
        """What the server sends until it or the connection ends."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self.last)}
        with self.transport.stream(f"{self.path}/events", headers, timeout=_SILENCE) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise _NoStreamError
            for frame in frames(response.iter_lines()):
                if frame.kind == "end":
                    return
                if frame.kind == "progress" and (now := _read(_Standing, frame)):
                    yield from self._moved(now)
                elif frame.kind == "event" and (event := _read(Event, frame)):
                    yield from self._new(event)

    def rest(self) -> Iterator[Event]:
        """What has happened since, asked for."""
        # The run first: its last events are there once it is over.
        run = self.transport.get(Run, self.path)
        more = True
        while more:
            params = {"after": str(self.last)}
            page = self.transport.get(Page[Event], f"{self.path}/events", params)
            for event in page.data:
                yield from self._new(event)
            more = page.has_more and bool(page.data)
        yield from self._moved(_Standing(**run.model_dump(include=set(_Standing.model_fields))))
        self.over = run.status in OVER

    def _new(self, event: Event) -> Iterator[Event]:
        if event.seq > self.last:
            self.last = event.seq
            yield event

    def _moved(self, now: _Standing) -> Iterator[Event]:
        """A progress event where the run has moved on since the last one."""
        if now.status != "running" or now.progress is None or now.stage is None:
            return
        at = (now.stage, now.progress.step, now.progress.total)
        if at == self._progress:
            return
        self._progress = at
        shown = _SHOWN.get(now.stage, ())
        figures = {key: value for key, value in now.metrics.items() if key in shown}
        figures |= now.progress.model_dump(include={"tokens_per_second", "eta_seconds"})
        yield Event(
            seq=self.last,
            time="",
            type="progress",
            stage=now.stage,
            step=now.progress.step,
            total=now.progress.total,
            metrics={key: value for key, value in figures.items() if value is not None},
        )


def frames(lines: Iterable[str]) -> Iterator[_Frame]:
    """Server-sent events: fields by line, an empty line ends one; a comment is a sign of life."""
    kind = ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield _Frame(kind, "\n".join(data))
            kind, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)


def _read(kind: type[Read], frame: _Frame) -> Read | None:
    """None for what a newer server may send."""
    try:
        return kind.model_validate_json(frame.data)
    except ValidationError:
        return None

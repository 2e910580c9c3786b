"""Sends a run's events to trackers: each in a thread of its own, fed from the run folder's log.

A tracker that is slow, away or broken neither stops a run nor holds it up: it is left out from
then on, and a warning says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from entromask.errors import EntromaskError
from entromask.run_folder import Event, OnEvent, RunFolder, write_json
from entromask.settings import settings
from entromask.spec import RunSpec
from entromask.trackers import TRACKERS, Status, TrackedRun, check_tracker

# What a tracker may take at the end of a run until it is left behind.
_FAREWELL_SECONDS = 20.0
# Of a progress event: said by the other figures, or meant for a progress bar.
_DULL = ("eta_seconds", "fraction")


class Tracking:
    """The trackers of one run. Call it with every event; a `with` block is the run's time.

    Args:
        spec: resolved.
        path: the run folder. What trackers have got is remembered there, under trackers/.
        track: names of trackers, beside those of ENTROMASK_TRACKERS.
        on_event: hears every event too.
        lenient: warn of a tracker that cannot be used at all; it is too late to refuse the run.

    Raises:
        InputError, DependencyMissingError: a tracker cannot be used at all.
    """

    def __init__(
        self,
        spec: RunSpec,
        path: Path,
        track: Sequence[str] = (),
        on_event: OnEvent | None = None,
        lenient: bool = False,
    ) -> None:
        self._names: list[str] = []
        self._unusable: dict[str, str] = {}
        for name in dict.fromkeys([*settings().tracker_names, *track]):
            try:
                check_tracker(name)
                self._names.append(name)
            except EntromaskError as error:
                if not lenient:
                    raise
                self._unusable[name] = error.message
        self._spec, self._path, self._on_event = spec, path.absolute(), on_event
        self._folder: RunFolder | None = None
        self._feeds: list[_Feed] | None = None
        # What the trackers' libraries print is not for a stdout that a script may read.
        self._quiet = contextlib.ExitStack()
        self._stdout: TextIO | None = None

    def __call__(self, event: Event) -> None:
        if self._on_event is not None:
            with contextlib.redirect_stdout(self._stdout or sys.stdout):
                self._on_event(event)
        # Without a number it is not in the folder yet: the run may still be refused.
        if self._folder is None or "seq" not in event:
            return
        if self._feeds is None:
            self._feeds = self._start(event["seq"]) if self._names else []
            for name, reason in self._unusable.items():
                self._say(name, reason)
        for feed in self._feeds:
            feed.put(event)
        self._warn()

    def of(self, folder: RunFolder) -> Self:
        """The same, for `with`: `folder` takes the warnings."""
        self._folder = folder
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._end("trained")
        else:
            self._end("failed" if issubclass(kind, Exception) else "cancelled")

    def succeed(self, results: dict[str, Any]) -> None:
        """Sends what the run found, as its end.

        Args:
            results: the content of results.json.
        """
        for feed in self._feeds or ():
            feed.put({"type": "results", "results": results})
        self._end("succeeded")

    def _start(self, first: int) -> list[_Feed]:
        state = self._path / "trackers"
        state.mkdir(exist_ok=True)
        run = _tracked(self._spec, self._path, state / "run.json")
        feeds = [
            _Feed(name, run, self._path / "events.jsonl", state / f"{name}.json", first)
            for name in self._names
        ]
        self._stdout = sys.stdout
        nowhere = self._quiet.enter_context(Path(os.devnull).open("w"))  # noqa: SIM115
        self._quiet.enter_context(contextlib.redirect_stdout(nowhere))
        for feed in feeds:
            feed.start()
        return feeds

    def _end(self, status: Status) -> None:
        """Lets every tracker take what is left, for a while."""
        feeds, self._feeds = self._feeds or [], []
        for feed in feeds:
            feed.put({"type": "end", "status": status})
        deadline = time.monotonic() + _FAREWELL_SECONDS
        for feed in feeds:
            feed.join(max(0.0, deadline - time.monotonic()))
        for feed in feeds:
            if feed.is_alive():
                feed.failure = (
                    f"it did not take the last of it within {_FAREWELL_SECONDS:g} s; is it away?"
                )
        self._quiet.close()
        self._warn(feeds)

    def _warn(self, feeds: list[_Feed] | None = None) -> None:
        """Takes trackers that have failed out, and says so once."""
        feeds = feeds if feeds is not None else self._feeds or []
        broken = [feed for feed in feeds if feed.failure is not None]
        self._feeds = [feed for feed in self._feeds or [] if feed not in broken]
        for feed in broken:
            self._say(feed.tracker, str(feed.failure))

    def _say(self, name: str, reason: str) -> None:
        assert self._folder is not None
        self._folder.emit("warning", message=f"the tracker {name} gets no more: {reason}")


class _Feed(threading.Thread):
    """One tracker, from its opening to its end.

    Args:
        events: the run's log, for what was written before this process.
        state: the file that remembers up to which event the tracker has got.
        first: the number of the first event that will be put.
    """

    def __init__(
        self,
        name: str,
        run: TrackedRun,
        events: Path,
        state: Path,
        first: int,
    ) -> None:
        super().__init__(name=f"tracker {name}", daemon=True)
        self.tracker = name
        self.failure: str | None = None
        self._kind, self._run = TRACKERS[name], run
        self._events, self._state, self._first = events, state, first
        self._waiting: queue.SimpleQueue[Event] = queue.SimpleQueue()
        # The highest step that a metric has a point at: a resumed run does some steps again.
        self._steps: dict[str, int] = {}
        self._step = 0

    def put(self, event: Event) -> None:
        self._waiting.put(event)

    def run(self) -> None:
        try:
            self._feed()
        except BaseException as error:  # whatever a tracker does, the run goes on
            words = " ".join(str(error).split())[:300]
            self.failure = f"{type(error).__name__}: {words}".rstrip(": ")

    def _feed(self) -> None:
        state: dict[str, Any] = {"seq": 0, "has_config": False, "has_results": False}
        known = _read(self._state) or state | {"closed": True}
        if known.get("closed") or not self._kind.keeps_back:
            state = known | {"closed": False}
        tracker = self._kind.open(self._run)
        tracker.start()
        self._kind.name(tracker, self._run)
        if not state["has_config"]:
            tracker.store_init_configuration(dict(self._run.config))
            state["has_config"] = True
        done = state["seq"]
        for event in self._written():
            self._take(tracker, event, is_new=event["seq"] > done)
        while (event := self._waiting.get())["type"] != "end":
            if event["type"] != "results":
                self._take(tracker, event, is_new=event["seq"] > done)
                state["seq"] = event["seq"]
            elif not state["has_results"]:
                tracker.log(_findings(event["results"]), step=self._step)
                state["has_results"] = True
            if self._waiting.empty():
                write_json(self._state, state)
        self._kind.close(tracker, event["status"])
        write_json(self._state, state | {"closed": True})

    def _written(self) -> Iterator[Event]:
        """The events of the log before the first that is put."""
        with self._events.open(encoding="utf-8") as file:
            for line in file:
                event: Event = json.loads(line)
                if event["seq"] >= self._first:
                    return
                yield event

    def _take(self, tracker: Any, event: Event, is_new: bool) -> None:
        metrics = _metrics(event)
        if not metrics:
            return
        step = int(event["step"])
        fresh = {name: x for name, x in metrics.items() if step > self._steps.get(name, -1)}
        self._steps |= dict.fromkeys(fresh, step)
        self._step = max(self._step, step)
        if fresh and is_new:
            tracker.log(fresh, step=step)


def _metrics(event: Event) -> dict[str, float]:
    """What a tracker gets of an event: the numbers of pretraining, under their own names."""
    if event["type"] not in ("progress", "metrics") or event.get("stage") != "pretraining":
        return {}
    return {k: v for k, v in _numbers(event.get("metrics") or {}).items() if k not in _DULL}


def _findings(results: dict[str, Any]) -> dict[str, float]:
    """The single numbers of results.json: scores, averages, losses, diagnostics, cost."""
    tasks = {name: task.get("score") for name, task in results["tasks"].items()}
    averages = {
        name: found.get("value") if isinstance(found, dict) else found
        for name, found in results["averages"].items()
    }
    parts = {"task": tasks, "average": averages} | {
        part: results[part] for part in ("validation", "diagnostics", "cost")
    }
    return {
        f"{part}/{name}": number
        for part, values in parts.items()
        for name, number in _numbers(values).items()
    }


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e308
    }


def _tracked(spec: RunSpec, path: Path, file: Path) -> TrackedRun:
    """The run under the id that it has, or under a new one."""
    known = _read(file)
    if known is None:
        known = {"id": secrets.token_hex(4)}
        write_json(file, known)
    words = [path.name, known["id"]]
    slug = _slug(spec.name)
    if not path.name.startswith(slug):
        words.insert(0, slug)
    return TrackedRun(
        id=known["id"],
        name=_slug("-".join(words)),
        project=settings().tracking_project,
        group=spec.group_hash,
        tags=spec.tags,
        files=settings().tracking,
        config=_flat(spec.data()) | {"spec_hash": spec.spec_hash, "group_hash": spec.group_hash},
    )


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-.") or "run"


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _flat(data: dict[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Dotted keys; lists as text, and without what is null."""
    flat: dict[str, str | int | float | bool] = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            flat[prefix + key] = json.dumps(value, ensure_ascii=False)
        elif value is not None:
            flat[prefix + key] = value
    return flat

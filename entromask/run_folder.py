"""The folder of a run: the durable log that everything else is fed from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from entromask.errors import InputError
from entromask.spec import RunSpec
from entromask.yaml_file import read_yaml

Event = dict[str, Any]
OnEvent = Callable[[Event], None]


def default_folder(spec: RunSpec, runs: Path) -> Path:
    """Where a run goes that names no folder; the same spec always goes to the same place."""
    slug = re.sub(r"[^a-z0-9]+", "-", spec.name.lower()).strip("-") or "run"
    return runs / f"{slug}-seed{spec.seed}-{spec.spec_hash[:8]}"


class RunFolder:
    """Writes events, log and results of one run.

    Events that come before `create` are kept and written then, so that a spec or a corpus that
    is refused leaves nothing behind. A process that is not the main one of a distributed run
    writes nothing.

    Args:
        events: the file of the events, relative to the folder; a piece of the evaluation that is
            a job of its own has a file of its own.
    """

    def __init__(
        self,
        path: Path,
        on_event: OnEvent | None = None,
        writes: bool = True,
        events: str = "events.jsonl",
    ) -> None:
        self.path = path.absolute()
        self.events = self.path / events
        self.stage: str | None = None
        # While True, nothing is said: a stage is gone through again for what it leaves in memory.
        self.muted = False
        self._on_event = on_event
        self._writes = writes
        self._waiting: list[Event] | None = []
        self._next = 1

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        return self.path / "model"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    def check(self, spec: RunSpec, resume: bool) -> None:
        """Makes sure that this run may write here.

        Raises:
            InputError: the folder holds another run, this run without `resume`, or other files.
        """
        spec_file = self.path / "spec.yaml"
        if self.path.is_file():
            raise InputError(f"{self.path} is a file, not a folder", "choose another --output")
        if not self.path.is_dir() or not any(self.path.iterdir()):
            return
        if not spec_file.is_file():
            raise InputError(
                f"{self.path} is not empty and holds no run", "choose another --output"
            )
        held = RunSpec.parse(read_yaml(spec_file), str(spec_file))
        if held.spec_hash != spec.spec_hash:
            raise InputError(
                f"{self.path} holds another run, '{held.name}' with seed {held.seed} "
                f"(spec {held.spec_hash[:8]}, not {spec.spec_hash[:8]})",
                "choose another --output, or leave it out",
            )
        if not resume:
            raise InputError(
                f"{self.path} holds this run already",
                "--resume continues it (a finished run just shows its results)",
            )

    def create(self, spec: RunSpec, environment: dict[str, Any]) -> None:
        """Makes the folder, or continues it, and writes the events that waited."""
        if self._writes:
            self.path.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path / "spec.yaml", spec.to_yaml())
            write_json(self.path / "environment.json", environment)
        self.open()

    def open(self, after: int = 0) -> None:
        """Continues the events of a folder that is there already, and writes those that waited.

        Args:
            after: a sequence number that has been used, whatever the file says: a crash of the
                machine may have taken lines that were read before.
        """
        if self._waiting is None:
            return
        if self._writes:
            self._next = 1 + max(after, self._mend_events())
        waiting, self._waiting = self._waiting or [], None
        for event in waiting:
            self._write(event)

    def write_results(self, data: dict[str, Any]) -> None:
        """Writes results.json, whole or not at all."""
        if self._writes:
            write_json(self.results, data)

    def enter(self, stage: str) -> None:
        """Says that a stage starts."""
        self.stage = stage
        self.emit("stage", message=stage)

    def emit(
        self,
        type_: str,
        *,
        step: int | None = None,
        total: int | None = None,
        metrics: dict[str, Any] | None = None,
        message: str | None = None,
    ) -> None:
        """Appends an event and hands it to the listener."""
        if self.muted:
            return
        fields = {
            "type": type_,
            "stage": self.stage,
            "step": step,
            "total": total,
            "metrics": metrics,
            "message": message,
        }
        event = {"time": datetime.now(UTC).isoformat(timespec="milliseconds")} | {
            name: value for name, value in fields.items() if value is not None
        }
        if self._waiting is not None:
            self._waiting.append(event)
        else:
            event = self._write(event)
        if self._on_event is not None and self._writes:
            self._on_event(event)

    def _write(self, event: Event) -> Event:
        numbered: Event = {"seq": self._next, **event}
        self._next += 1
        if self._writes:
            with self.events.open("a", encoding="utf-8") as file:
                file.write(json.dumps(numbered, ensure_ascii=False) + "\n")
            if numbered["type"] != "progress":
                with (self.path / "log.txt").open("a", encoding="utf-8") as file:
                    file.write(_in_words(numbered) + "\n")
        return numbered

    def _mend_events(self) -> int:
        """Cuts a line that a crash left half-written; returns the last sequence number."""
        if not self.events.is_file():
            return 0
        with self.events.open("r+b") as file:
            content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            file.truncate(len(whole))
        lines = whole.splitlines()
        return int(json.loads(lines[-1])["seq"]) if lines else 0


def _in_words(event: Event) -> str:
    words = [event["time"], event["type"]]
    if "step" in event:
        words.append(f"step {event['step']}" + (f"/{event['total']}" if event.get("total") else ""))
    if "message" in event:
        words.append(event["message"])
    words += [f"{name}={_short(value)}" for name, value in event.get("metrics", {}).items()]
    return "  ".join(words)


def _short(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def write_json(path: Path, data: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never a part."""
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, text + "\n")


def write_atomically(path: Path, text: str) -> None:
    """Writes UTF-8 text through a temporary file that is renamed when it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

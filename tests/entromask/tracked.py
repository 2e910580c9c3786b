"""Reads back what each tracker's own library has stored: the points, settings and end of a run."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Tracked:
    """One run in a tracker: every stored point of each metric, in order."""

    points: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    status: str | None = None

    def add(self, name: str, step: int, value: float) -> None:
        self.points.setdefault(name, []).append((step, value))


def _tensorboard(files: Path) -> Iterator[Tracked]:
    import yaml
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for folder in (files / "tensorboard").iterdir():
        run = Tracked()
        # Nothing is thinned out, and nothing dropped that a restart has made obsolete.
        stored = EventAccumulator(
            str(folder), size_guidance={"scalars": 0}, purge_orphaned_data=False
        )
        stored.Reload()
        for name in stored.Tags()["scalars"]:
            for event in stored.Scalars(name):
                run.add(name, event.step, event.value)
        for tag in stored.Tags()["tensors"]:
            if tag.startswith("status"):
                run.status = stored.Tensors(tag)[-1].tensor_proto.string_val[0].decode()
        for file in folder.glob("*/hparams.yml"):
            assert not run.config
            run.config = yaml.safe_load(file.read_text())
        yield run


def _mlflow(files: Path) -> Iterator[Tracked]:
    database = sqlite3.connect(files / "mlflow.db")
    for (uuid,) in database.execute("select run_uuid from runs").fetchall():
        run = Tracked()
        rows = database.execute(
            "select key, step, value from metrics where run_uuid = ? order by timestamp", [uuid]
        )
        for name, step, value in rows:
            run.add(name, step, value)
        run.config = dict(
            database.execute("select key, value from params where run_uuid = ?", [uuid]).fetchall()
        )
        tags = database.execute("select key, value from tags where run_uuid = ?", [uuid])
        run.status = dict(tags.fetchall()).get("status")
        yield run
    database.close()


def _wandb(files: Path) -> Iterator[Tracked]:
    from wandb.proto.wandb_internal_pb2 import Record

    runs: dict[str, Tracked] = {}
    for file in sorted((files / "wandb").glob("offline-run-*/*.wandb")):
        # After a kill the next file begins anew.
        run = runs[file.stem] = Tracked()
        for content in _records(file.read_bytes()):
            record = Record()
            record.ParseFromString(content)
            for one in (*record.run.config.update, *record.config.update):
                run.config[one.key or one.nested_key[0]] = json.loads(one.value_json)
            values = {
                one.key or one.nested_key[0]: json.loads(one.value_json)
                for one in record.history.item
            }
            run.status = values.pop("status", run.status)
            step = record.history.step.num or values.get("_step", 0)
            for name, value in values.items():
                if not name.startswith("_"):
                    run.add(name, step, value)
    yield from runs.values()


def _records(content: bytes) -> Iterator[bytes]:
    """Of a file in LevelDB's log format, behind a header of seven bytes."""
    block, at, whole = 32768, 7, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            yield whole
            whole = b""


def _trackio(files: Path) -> Iterator[Tracked]:
    (file,) = (files / "trackio").glob("*.db")
    database = sqlite3.connect(file)
    for (name,) in database.execute("select distinct run_name from metrics").fetchall():
        run = Tracked()
        rows = database.execute(
            "select step, metrics from metrics where run_name = ? order by id", [name]
        )
        for step, text in rows:
            values = json.loads(text)
            run.status = values.pop("status", run.status)
            for metric, value in values.items():
                run.add(metric, step, value)
        for (text,) in database.execute("select config from configs where run_name = ?", [name]):
            run.config |= json.loads(text)
        yield run
    database.close()


READERS: dict[str, Callable[[Path], Iterator[Tracked]]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
    "trackio": _trackio,
}

"""The tables. Every time is a Unix time in seconds; every JSON column holds plain data."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Json = dict[str, Any]

ID = String(64)


class Base(DeclarativeBase):
    """Columns of JSON and of long text by their Python types."""

    type_annotation_map = {  # noqa: RUF012
        Json: JSON,
        list[str]: JSON,
        list[Json]: JSON,
        float: Float(53),
        int: BigInteger,
    }


class Run(Base):
    """A run as its users see it; its jobs do the work."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    # What was asked of a run that is not over: null, "cancel" or "kill".
    stop: Mapped[str | None] = mapped_column(String(8))
    reason: Mapped[str | None] = mapped_column(String(32))
    message: Mapped[str | None] = mapped_column(Text)
    hint: Mapped[str | None] = mapped_column(Text)
    stage: Mapped[str | None] = mapped_column(String(32))
    progress: Mapped[Json | None]
    spec: Mapped[Json]
    spec_hash: Mapped[str] = mapped_column(String(64))
    group_hash: Mapped[str] = mapped_column(String(64))
    seed: Mapped[int]
    strategy: Mapped[str | None] = mapped_column(String(64))
    experiment_id: Mapped[str | None] = mapped_column(ID)
    tags: Mapped[list[str]]
    notes: Mapped[str] = mapped_column(Text, default="")
    priority: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(ID)
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    metrics: Mapped[Json]
    results: Mapped[Json | None]
    warnings: Mapped[list[str]]
    # Of the last event that was stored, and the number of changes (for ETags).
    events: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1)

    __table_args__ = (
        Index("runs_newest", "created_at", "id"),
        Index("runs_by_status", "status", "created_at", "id"),
        Index("runs_by_strategy", "strategy", "created_at", "id"),
        Index("runs_by_group", "group_hash", "created_at", "id"),
        Index("runs_by_spec", "spec_hash"),
    )


class Tag(Base):
    """A tag of a run, once more, so that runs are found by it."""

    __tablename__ = "tags"

    run_id: Mapped[str] = mapped_column(
        ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    tag: Mapped[str] = mapped_column(String(100), primary_key=True)

    __table_args__ = (Index("tags_by_tag", "tag", "run_id"),)


class Job(Base):
    """A piece of a run's work that one worker does: claimed by one, held by a lease.

    `kind` is pretrain, cell (the fine-tuning of one task with one seed, or a floor) or report.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    run_id: Mapped[str] = mapped_column(ID, ForeignKey("runs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(100))
    payload: Mapped[Json]
    status: Mapped[str] = mapped_column(String(16))
    # A waiting job is queued when this run has succeeded.
    waits_for: Mapped[str | None] = mapped_column(ID)
    priority: Mapped[int] = mapped_column(Integer)
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    # Attempts that ended without the job's own doing or with a crash; these count, others do not.
    losses: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str | None] = mapped_column(ID)
    lease_until: Mapped[float | None]
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(String(32))
    message: Mapped[str | None] = mapped_column(Text)
    hint: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        Index("jobs_by_run", "run_id"),
        Index("jobs_by_status", "status", "lease_until"),
        Index("jobs_waiting", "waits_for"),
    )


class Experiment(Base):
    """Methods x seeds: its spec, and the cells that were planned from it."""

    __tablename__ = "experiments"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    spec: Mapped[Json]
    # Each an `entromask.experiments.cells.Cell`, in the order of the report.
    cells: Mapped[list[Json]]
    # What was said when it was planned.
    plan_notes: Mapped[list[str]]
    tags: Mapped[list[str]]
    notes: Mapped[str] = mapped_column(Text, default="")
    priority: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[float]
    version: Mapped[int] = mapped_column(default=1)

    __table_args__ = (Index("experiments_newest", "created_at", "id"),)


class ExperimentRun(Base):
    """Which run stands for one seed of one cell; a run may stand in several experiments."""

    __tablename__ = "experiment_runs"

    experiment_id: Mapped[str] = mapped_column(
        ID, ForeignKey("experiments.id", ondelete="CASCADE"), primary_key=True
    )
    cell: Mapped[str] = mapped_column(String(200), primary_key=True)
    seed: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[str] = mapped_column(ID, ForeignKey("runs.id", ondelete="CASCADE"))
    # Whether the run was there before the experiment.
    reused: Mapped[bool] = mapped_column(Boolean, default=False)

    __table_args__ = (Index("experiment_runs_by_run", "run_id"),)


class Event(Base):
    """An event of a run; `seq` has no gaps within a run.

    `source` and `source_seq` say which line of which file it was: fed at least once, stored once.
    """

    __tablename__ = "events"

    run_id: Mapped[str] = mapped_column(
        ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(100))
    source_seq: Mapped[int]
    data: Mapped[Json]

    __table_args__ = (Index("events_by_source", "run_id", "source", "source_seq", unique=True),)


class Metric(Base):
    """One point of a metric's history."""

    __tablename__ = "metrics"

    run_id: Mapped[str] = mapped_column(
        ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(String(100), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[float | None]

    __table_args__ = ({"sqlite_with_rowid": False},)


class Feed(Base):
    """How far a file of events has been read into the database."""

    __tablename__ = "feeds"

    run_id: Mapped[str] = mapped_column(
        ID, ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True
    )
    source: Mapped[str] = mapped_column(String(100), primary_key=True)
    seq: Mapped[int]


class Idempotency(Base):
    """The answer that was given to a POST with an Idempotency-Key."""

    __tablename__ = "idempotency"

    # A hash of the key and of who sent it.
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[Json]
    created_at: Mapped[float]

    # The old ones are deleted at each POST.
    __table_args__ = (Index("idempotency_oldest", "created_at"),)


class ApiKey(Base):
    """An API key; only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    role: Mapped[str] = mapped_column(String(8))
    # The first characters, by which its owner knows it again.
    prefix: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]
    used_at: Mapped[float | None]


class Corpus(Base):
    """An uploaded corpus; its file lies under ENTROMASK_HOME/corpora/ID."""

    __tablename__ = "corpora"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    file: Mapped[str] = mapped_column(String(255))
    format: Mapped[str] = mapped_column(String(16))
    size: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[float]


class Model(Base):
    """A registered model: a local folder or a name on the Hub. Finished runs need no entry."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    reference: Mapped[Json]
    architecture: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[float]


class Worker(Base):
    """A worker process, as it last said of itself."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(ID, primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    queue: Mapped[str] = mapped_column(String(32))
    started_at: Mapped[float]
    seen_at: Mapped[float]
    stopping: Mapped[bool] = mapped_column(Boolean, default=False)
    state: Mapped[Json]

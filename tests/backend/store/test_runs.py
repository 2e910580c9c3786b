"""Lists of runs: filtered, paged by key, served from an index; runs edited and deleted."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, text, update
from sqlalchemy.orm import Session

from backend.db.engine import Database
from backend.db.tables import Base, Experiment, Job, Run
from backend.store.experiments import create_experiment, put
from backend.store.keys import create_key, find_key, revoke_key
from backend.store.runs import Filters, delete_run, edit_run, get_run, keep_results, list_runs
from entromask.errors import InputError
from tests.backend.store.helpers import run_of, small_spec, submit


def ids(database: Database, limit: int = 50, **filters: Any) -> list[str]:
    with database.read() as session:
        return [run.id for run in list_runs(session, Filters(**filters), limit, None)]


def test_pages_have_each_run_once_where_many_are_equally_old(database: Database) -> None:
    made = [submit(database)[0] for _ in range(9)]
    with database.write() as session:
        session.execute(update(Run).values(created_at=1_700_000_000.1234567))
        session.execute(update(Run).where(Run.id.in_(made[:2])).values(created_at=1.5))
    seen: list[str] = []
    after = None
    while True:
        with database.read() as session:
            page = list_runs(session, Filters(), 2, after)
        if not page:
            break
        seen += [run.id for run in page]
        after = (page[-1].created_at, page[-1].id)
    assert seen == [*sorted(made[2:], reverse=True), *sorted(made[:2], reverse=True)]


def a_new_experiment(session: Session) -> Experiment:
    return create_experiment(
        session, name="e", spec={}, cells=[], plan_notes=[], tags=[], notes="", priority=5
    )


def test_each_filter_finds_its_runs(database: Database) -> None:
    one, _ = submit(database, small_spec(name="100%_sure", tags=["a", "b"]), notes="Übung")
    two, _ = submit(
        database, small_spec(name="100 sure", masking={"preset": "self-entropy-sample"}), tags=["b"]
    )
    with database.write() as session:
        session.execute(update(Run).where(Run.id == two).values(status="failed"))
        experiment = a_new_experiment(session)
        put(session, experiment, [("cell", 0, two, False)])
    group = run_of(database, one).group_hash
    assert ids(database, status="failed") == [two]
    assert ids(database, tag="a") == [one]
    assert ids(database, tag="b") == [two, one]
    assert ids(database, experiment=experiment.id) == [two]
    assert ids(database, strategy="self-entropy-sample") == [two]
    assert ids(database, group=group) == [one]
    assert ids(database, tag="b", status="queued") == [one]
    assert ids(database, tag="a\0") == [one]  # Postgres takes no NUL


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("100", 2),
        ("SURE", 2),
        ("%", 1),
        ("_sure", 1),
        ("0%_", 1),
        ("100 übung", 1),
        ("Übung", 1),
        ("\\", 0),
        ("' OR 1=1", 0),
    ],
)
def test_a_search_takes_its_words_literally(database: Database, q: str, found: int) -> None:
    submit(database, small_spec(name="100%_sure"), notes="Übung übung")
    submit(database, small_spec(name="100 sure"))
    # An id has an underscore of its own, but none before these words.
    assert len(ids(database, q=q)) == found


def test_a_page_of_10000_runs_is_read_from_an_index(database: Database) -> None:
    run_id, _ = submit(database)
    row = {
        column.name: getattr(run_of(database, run_id), column.name) for column in Run.__table__.c
    }
    with database.write() as session:
        session.execute(
            insert(Run),
            [row | {"id": f"run_{n:05}", "created_at": 1e9 + n, "spec": {}} for n in range(9_999)],
        )
    with database.write() as session:
        session.execute(text("ANALYZE"))
    for filters, index in (
        (Filters(), "runs_newest"),
        (Filters(experiment="exp_1"), "experiment_runs"),
        (Filters(status="failed"), "runs_by_status"),
    ):
        assert index in _plan(database, filters), filters


def _plan(database: Database, filters: Filters) -> str:
    """What the database says about how it would list these runs."""
    asked: list[tuple[str, Any]] = []

    def listen(*given: Any) -> None:
        asked.append((given[2], given[3]))

    explain = "EXPLAIN QUERY PLAN" if database.engine.dialect.name == "sqlite" else "EXPLAIN"
    with database.read() as session:
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", listen)
        list_runs(session, filters, 50, (2e9, "run_x"))
        event.remove(connection, "before_cursor_execute", listen)
        ((statement, parameters),) = asked
        said = connection.exec_driver_sql(f"{explain} {statement}", parameters)
        return "\n".join(str(row) for row in said)


def test_an_edit_changes_the_run_and_its_queued_jobs(database: Database) -> None:
    run_id, _ = submit(database, tags=["old"])
    with database.write() as session:
        run = get_run(session, run_id, lock=True)
        assert run is not None
        before = run.version
        edit_run(session, run, name="new", tags=["x", "x"], notes="n\0", priority=0)
        assert run.version > before
    run = run_of(database, run_id)
    assert (run.name, run.tags, run.notes, run.priority) == ("new", ["x"], "n", 0)
    assert ids(database, tag="old") == []
    with database.read() as session:
        assert set(session.scalars(select(Job.priority))) == {0}


def test_a_tag_that_is_too_long_is_refused(database: Database) -> None:
    with pytest.raises(InputError, match="1 to 100 characters"):
        submit(database, tags=["x" * 101])
    assert ids(database) == []


def test_results_without_a_number_are_kept_as_null(database: Database) -> None:
    run_id, _ = submit(database)
    with database.write() as session:
        keep_results(session, run_id, {"tasks": {"rte": {"score": float("nan")}}})
    assert run_of(database, run_id).results == {"tasks": {"rte": {"score": None}}}


def test_a_deleted_run_leaves_nothing_behind(database: Database) -> None:
    run_id, _ = submit(database, tags=["a"])
    with database.write() as session:
        run = get_run(session, run_id, lock=True)
        assert run is not None
        delete_run(session, run)
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            assert session.scalar(select(func.count()).select_from(table)) == 0, table.name


def test_a_revoked_key_is_not_found_and_no_secret_is_stored(database: Database) -> None:
    with database.write() as session:
        key, secret = create_key(session, "mine", "write")
        assert secret not in {str(getattr(key, column.name)) for column in key.__table__.c}
    with database.write() as session:
        found = find_key(session, secret)
        assert found is not None
        assert found.id == key.id
        assert find_key(session, secret + "x") is None
        assert [key.id for key in revoke_key(session, "mine")] == [key.id]
        assert find_key(session, secret) is None
        assert revoke_key(session, "mine") == []

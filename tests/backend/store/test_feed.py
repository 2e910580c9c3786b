"""Events: fed at least once, stored exactly once, numbered without gaps."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select

from backend.db.engine import Database
from backend.db.tables import Event, Metric
from backend.store.feed import events_after, fed, feed
from backend.store.metrics import history
from tests.backend.store.helpers import run_of, submit
from tests.backend.store.racing import race


def event(seq: int, kind: str = "checkpoint", **more: Any) -> dict[str, Any]:
    return {"seq": seq, "time": "2030-01-01T00:00:00.000+00:00", "type": kind, **more}


def store(
    database: Database, run_id: str, events: list[dict[str, Any]], source: str = "run"
) -> None:
    with database.write() as session:
        feed(session, run_id, source, events)


def stored(database: Database, run_id: str) -> list[tuple[int, str, int]]:
    with database.read() as session:
        found = events_after(session, run_id, 0, 100_000)
        return [(row.seq, row.source, row.source_seq) for row in found]


def test_repeated_and_overlapping_batches_are_stored_once(database: Database) -> None:
    run_id, _ = submit(database)
    events = [event(seq) for seq in range(1, 8)]
    for first, last in ((0, 3), (0, 3), (1, 5), (4, 7), (0, 7)):
        store(database, run_id, events[first:last])
    store(database, run_id, [event(8), event(8), event(7)])
    assert stored(database, run_id) == [(seq, "run", seq) for seq in range(1, 9)]
    with database.read() as session:
        assert fed(session, run_id, "run") == 8
        assert [row.seq for row in events_after(session, run_id, 3, 2)] == [4, 5]


def _feed_all(database: Database, run_id: str, source: str) -> None:
    for seq in range(1, 41):
        store(database, run_id, [event(seq - 1), event(seq)] if seq > 1 else [event(1)], source)


@pytest.mark.slow
def test_feeders_at_the_same_time_leave_no_gap(database: Database) -> None:
    run_id, _ = submit(database)
    race(database, _feed_all, [(run_id, source) for source in ("run", "run", "cell")])
    found = stored(database, run_id)
    assert [seq for seq, _, _ in found] == list(range(1, 81))
    for source in ("run", "cell"):
        assert [number for _, of, number in found if of == source] == list(range(1, 41))


def test_what_is_not_a_number_becomes_null(database: Database) -> None:
    run_id, _ = submit(database)
    figures = {"loss": float("nan"), "rate": float("inf"), "kind": "word", "all": [float("nan")]}
    store(database, run_id, [event(1, "metrics", step=1, metrics=figures)])
    assert run_of(database, run_id).metrics == {"loss": None, "rate": None}
    with database.read() as session:
        (row,) = events_after(session, run_id, 0, 10)
        assert row.data["metrics"] == {"loss": None, "rate": None, "kind": "word", "all": [None]}
        assert history(session, run_id, ["loss"], 10)["loss"]["values"] == [None]


def test_a_step_done_twice_replaces_its_point(database: Database) -> None:
    run_id, _ = submit(database)
    store(database, run_id, [event(1, "progress", step=5, metrics={"loss": 3.0})])
    store(
        database,
        run_id,
        [
            event(2, "progress", step=5, metrics={"loss": 2.0}),
            event(3, "progress", step=5, metrics={"loss": 1.0}),
        ],
    )
    with database.read() as session:
        assert history(session, run_id, None, 10) == {
            "loss": {"steps": [5], "values": [1.0], "points": 1}
        }


def test_progress_is_the_runs_and_no_event(database: Database) -> None:
    run_id, _ = submit(database)
    figures = {"fraction": 0.5, "eta_seconds": 9.0, "loss": 2.0}
    store(
        database,
        run_id,
        [
            event(1, "stage", stage="pretraining"),
            event(2, "warning", message="slow\0 disk"),
            event(3, "warning", message="slow\0 disk"),
            event(4, "progress", step=5, total=10, metrics=figures),
        ],
    )
    store(database, run_id, [event(1, "progress", step=1, total=3)], source="demo-order-seed0")
    run = run_of(database, run_id)
    assert run.progress == {"step": 5, "total": 10, "fraction": 0.5, "eta_seconds": 9.0}
    assert (run.stage, run.metrics, run.events) == ("pretraining", {"loss": 2.0}, 3)
    assert len(run.warnings) == 1


def test_events_of_a_deleted_run_are_passed_over(database: Database) -> None:
    store(database, "run_none", [event(1)])
    assert stored(database, "run_none") == []


def test_each_metric_of_each_run_is_thinned_over_its_own_steps(database: Database) -> None:
    """Of one run a metric of steps 1 to 40, one of 101 to 110; of another run both elsewhere."""
    lengths = {"loss": (1, 40), "rate": (101, 110)}
    run_id, _ = submit(database)
    other_id, _ = submit(database)
    for run, shift in ((run_id, 0), (other_id, 1_000)):
        points = [
            (shift + step, {key: step / 2})
            for key, (first, last) in lengths.items()
            for step in range(first, last + 1)
        ]
        events = [
            event(n, "progress", step=step, metrics=figures)
            for n, (step, figures) in enumerate(points, 1)
        ]
        store(database, run, events)
    with database.read() as session:
        found = history(session, run_id, None, 10)
        assert list(found) == ["loss", "rate"]
        assert (found["loss"]["points"], found["rate"]["points"]) == (40, 10)
        assert found["loss"]["steps"] == list(range(4, 41, 4))
        assert found["rate"]["steps"] == list(range(101, 111))
        assert found["rate"]["values"] == [step / 2 for step in range(101, 111)]
        assert history(session, other_id, ["rate"], 5)["rate"]["steps"] == list(
            range(1102, 1111, 2)
        )


@pytest.mark.slow
def test_a_history_is_thinned_to_points_that_were_measured(database: Database) -> None:
    run_id, _ = submit(database)
    events = [event(n, "progress", step=n, metrics={"loss": n / 2}) for n in range(1, 100_001)]
    for first in range(0, len(events), 10_000):
        store(database, run_id, events[first : first + 10_000])
    with database.read() as session:
        for most in (1, 7, 1_000):
            series = history(session, run_id, ["loss"], most)["loss"]
            assert len(series["steps"]) <= most
            assert len(series["steps"]) > most * 0.9
            assert series["steps"][-1] == series["points"] == 100_000
            assert series["values"] == [step / 2 for step in series["steps"]]
        assert history(session, run_id, ["none"], 10) == {}
        count = session.scalar(select(func.count()).select_from(Metric))
        assert count == 100_000
        assert session.scalar(select(func.count()).select_from(Event)) == 0

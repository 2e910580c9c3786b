"""Comparisons over HTTP: which runs, what the answer says, in which formats."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from backend.db.engine import Database
from backend.db.tables import Run
from entromask.analysis import compare, render
from entromask.resources import MOST_COMPARED, MOST_IN_GROUPS, Comparison
from entromask.settings import settings
from tests.backend.api import client, problem, submitted
from tests.backend.finished import finished, write_folder
from tests.entromask.analysis import build

RATE = {"masking": {"preset": "random", "rate": 0.3}}


@pytest.fixture
def api(home: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", database.url)
    settings.cache_clear()
    with client() as asking:
        yield asking


def asked(api: TestClient, **body: Any) -> Comparison:
    """The comparison, whose shape is checked; a field that is not declared is an error."""
    answer = api.post("/v1/compare", json=body)
    assert answer.status_code == 200, answer.text
    found = Comparison.model_validate(answer.json())
    assert not found.model_extra
    assert not any(row.model_extra for row in found.rows)
    return found


def row(found: Comparison, key: str) -> Any:
    return next(row for row in found.rows if row.key == key)


def seeds(database: Database, name: str, scores: tuple[float, ...], **spec: Any) -> tuple[Any, str]:
    """A method with a run for each score: the ids and the group hash."""
    made = [
        finished(database, f"{name}-s{seed}", {"rte": (score,) * 3}, spec=spec | {"seed": seed})
        for seed, score in enumerate(scores)
    ]
    ids, groups = zip(*made, strict=True)
    assert len(set(groups)) == 1
    return list(ids), groups[0]


def test_runs_of_one_group_share_a_column_with_the_figures_of_the_command_line(
    api: TestClient, database: Database
) -> None:
    ids, group = seeds(database, "random", (0.54, 0.56, 0.61))
    other, _ = finished(database, "high", {"rte": (0.5, 0.6, 0.7)}, spec=RATE, loss=4.5)
    found = asked(api, runs=[*ids, other])
    assert [(column.label, len(column.runs)) for column in found.columns] == [
        ("random", 3),
        ("high", 1),
    ]
    assert found.columns[0].group_hash == group
    run = found.columns[0].runs[1]
    assert (run.id, run.name, run.seed, run.strategy) == (ids[1], "random-s1", 1, "random")
    rte = row(found, "rte")
    assert (rte.section, rte.unit, rte.higher_is_better) == ("Scores", "score", True)
    assert (rte.majority, rte.size, rte.comparable, rte.best) == (0.527, 277, True, 1)
    assert (rte.untrained.low, rte.untrained.high) == (0.53, 0.53)
    assert [value.mean for value in rte.values] == pytest.approx([0.57, 0.6])
    assert [value.sd for value in rte.values] == pytest.approx([0.0360555, 0.1])
    assert rte.shown == ["57.0 ± 3.6", "60.0 ± 10.0"]
    assert rte.differences == [None, None]
    assert row(found, "loss").best == 1
    assert any("high (n = 1)" in note for note in found.notes)
    apart = asked(api, runs=[*ids, other], group=False)
    assert [column.label for column in apart.columns] == [
        *(f"random-s{i}" for i in range(3)),
        "high",
    ]


@pytest.mark.parametrize("by", ["run", "group"])
def test_a_baseline_turns_the_others_into_differences_and_costs_into_ratios(
    api: TestClient, database: Database, by: str
) -> None:
    one, group = finished(database, "one", {"rte": (0.5, 0.6, 0.7)})
    two, _ = finished(database, "two", {"rte": (0.6, 0.6, 0.6)}, spec=RATE, flops=2.4e14)
    found = asked(api, runs=[two, one], baseline=one if by == "run" else group)
    assert found.baseline == 1
    assert row(found, "rte").differences == ["+0.0 ± 10.0", None]
    assert row(found, "rte").shown == ["60.0 ± 0.0", "60.0 ± 10.0"]
    assert row(found, "flops").differences == ["x 2.00", None]
    # A step is neither subtracted nor divided.
    assert row(found, "plateau_exit_step").differences == [None, None]


def test_a_group_is_all_of_its_runs_that_have_succeeded(
    api: TestClient, database: Database
) -> None:
    ids, group = seeds(database, "random", (0.54, 0.56, 0.61))
    with database.write() as session:
        session.execute(update(Run).where(Run.id == ids[1]).values(status="failed"))
    finished(database, "else", spec=RATE)
    (column,) = asked(api, groups=[group]).columns
    assert [run.id for run in column.runs] == [ids[0], ids[2]]
    with database.write() as session:
        session.execute(update(Run).where(Run.id == ids[0]).values(status="cancelled"))
        session.execute(update(Run).where(Run.id == ids[2]).values(status="failed"))
    body = problem(api.post("/v1/compare", json={"groups": [group]}), 409, "wrong_state")
    assert body["errors"][0]["pointer"] == "/groups/0"
    assert body["detail"].endswith("has succeeded: 1 cancelled, 2 failed")


def test_only_the_keys_that_differ_between_the_columns_are_listed(
    api: TestClient, database: Database
) -> None:
    ids, _ = seeds(database, "random", (0.5, 0.6))
    other, _ = finished(database, "high", spec=RATE | {"tags": ["x"]})
    found = asked(api, runs=[*ids, other])
    assert {one.key: one.values for one in found.differences} == {
        "seed": [[0, 1], 0],
        "masking.rate": [0.15, 0.3],
    }
    assert asked(api, runs=ids).differences == []
    apart = asked(api, runs=ids, group=False)
    assert {one.key: one.values for one in apart.differences} == {"seed": [0, 1]}


def test_what_the_run_folders_tell_decides_what_may_be_compared(
    api: TestClient, database: Database
) -> None:
    """Two corpora of one content, and two tokenizers of one place."""
    made = [
        finished(
            database,
            name,
            loss=loss,
            spec={
                "corpus": {"source": "local", "path": f"/{name}.txt"},
                "tokenizer": {"source": "local", "path": "/t"},
            },
        )[0]
        for name, loss in (("a", 4.0), ("b", 3.0))
    ]
    assert any("differ in corpus." in note for note in asked(api, runs=made).notes)
    for run in made:
        write_folder(run, "f", {"a": 0})
    assert row(asked(api, runs=made), "loss").best == 1
    (settings().runs / made[1] / "model" / "tokenizer.json").write_text(
        '{"model": {"vocab": {"b": 0, "c": 1}}}'
    )
    found = asked(api, runs=made)
    assert any("differ in tokenizer." in note for note in found.notes)
    assert row(found, "loss").best is None
    for name in ("environment.json", "model/tokenizer.json"):
        (settings().runs / made[1] / name).write_text("{")
    assert any("differ in corpus and tokenizer." in note for note in asked(api, runs=made).notes)


@pytest.mark.parametrize(
    ("style", "kind"),
    [("md", "text/markdown"), ("csv", "text/csv"), ("latex", "application/x-latex")],
)
def test_a_table_is_the_text_of_the_command_line(
    api: TestClient, database: Database, style: Any, kind: str
) -> None:
    ids = [
        finished(database, "one", {"rte": (0.5, 0.6, 0.7)})[0],
        finished(database, "two", {"rte": (0.7, 0.7, 0.8)}, spec=RATE)[0],
    ]
    answer = api.post("/v1/compare", params={"format": style}, json={"runs": ids})
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    runs = [
        build.run("one", {"rte": (0.5, 0.6, 0.7)}),
        build.run("two", {"rte": (0.7, 0.7, 0.8)}, spec_changes=RATE),
    ]
    if style == "csv":
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        # Where a run lies on the server is nobody's business.
        assert {line["folder"] for line in lines} == set(ids)
        assert {line["group_hash"] for line in lines} == {run.spec.group_hash for run in runs}
        assert len(lines) == 2 * len(compare(runs, group=False).rows)
    else:
        assert answer.text == render(compare(runs), style)


def test_csv_holds_no_differences(api: TestClient, database: Database) -> None:
    run, _ = finished(database, "one")
    body = {"runs": [run], "baseline": run}
    refused = problem(api.post("/v1/compare?format=csv", json=body), 422, "invalid_request")
    assert refused["errors"][0]["pointer"] == "/baseline"
    problem(api.post("/v1/compare?format=pdf", json=body), 422, "invalid_request")


def test_every_run_that_is_not_there_is_named_by_its_place(
    api: TestClient, database: Database
) -> None:
    run, _ = finished(database, "one")
    answer = api.post("/v1/compare", json={"runs": [run, "run_x", "run_y"]})
    body = problem(answer, 404, "not_found")
    assert body["detail"] == "no run 'run_x' (and 1 more)"
    assert [error["pointer"] for error in body["errors"]] == ["/runs/1", "/runs/2"]
    body = problem(api.post("/v1/compare", json={"groups": ["g"]}), 404, "not_found")
    assert body["errors"] == [{"pointer": "/groups/0", "detail": "no run has the group hash 'g'"}]


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        ("queued", "wait until"),
        ("running", "wait until"),
        ("failed", "retry continues"),
        ("cancelled", "resume continues"),
    ],
)
def test_a_run_without_results_is_named_with_its_status_and_what_to_do(
    api: TestClient, database: Database, status: str, hint: str
) -> None:
    done, _ = finished(database, "one")
    other = submitted(api)["id"]
    with database.write() as session:
        session.execute(update(Run).where(Run.id == other).values(status=status))
    body = problem(api.post("/v1/compare", json={"runs": [done, other]}), 409, "wrong_state")
    assert body["detail"] == f"the run {other} is {status} and has no results to compare"
    assert body["errors"][0]["pointer"] == "/runs/1"
    assert body["hint"].startswith(hint)


def test_what_is_no_comparison_is_refused_with_the_place(
    api: TestClient, database: Database
) -> None:
    run, group = finished(database, "one")
    refused = {
        "": [{}, {"runs": [run], "groups": [group]}, {"runs": None}],
        "/runs": [{"runs": []}, {"runs": [f"run_{i}" for i in range(MOST_COMPARED + 1)]}],
        "/groups": [{"groups": []}],
        "/runs/2": [{"runs": [run, "run_x", run]}],
        "/groups/1": [{"groups": [group, group]}],
        "/baseline": [{"runs": [run], "baseline": "run_x"}],
        "/more": [{"runs": [run], "more": 1}],
    }
    for pointer, bodies in refused.items():
        for body in bodies:
            answer = problem(api.post("/v1/compare", json=body), 422, "invalid_request")
            assert [error["pointer"] for error in answer["errors"]] == [pointer], body


def test_groups_of_too_many_runs_are_refused(api: TestClient, database: Database) -> None:
    _, group = finished(database, "one")
    with database.write() as session:
        (row,) = session.query(Run).all()
        columns = {c.name: getattr(row, c.name) for c in Run.__table__.columns}
        session.execute(
            Run.__table__.insert(),  # type: ignore[attr-defined]
            [columns | {"id": f"run_{i}"} for i in range(MOST_IN_GROUPS)],
        )
    body = problem(api.post("/v1/compare", json={"groups": [group]}), 422, "invalid_request")
    assert f"have {MOST_IN_GROUPS + 1} succeeded runs" in body["detail"]


def test_a_run_of_another_version_is_named(api: TestClient, database: Database) -> None:
    run, _ = finished(database, "one")
    with database.write() as session:
        session.execute(update(Run).where(Run.id == run).values(spec={"other": 1}))
    body = problem(api.post("/v1/compare", json={"runs": [run]}), 422, "invalid_request")
    assert run in body["detail"]


def test_a_name_of_a_run_never_breaks_a_table(api: TestClient, database: Database) -> None:
    run, _ = finished(database, "a")
    name = "50% & \n | \\"
    assert api.patch(f"/v1/runs/{run}", json={"name": name}).status_code == 200
    tables = {
        style: api.post(f"/v1/compare?format={style}", json={"runs": [run]}).text
        for style in ("md", "latex")
    }
    assert tables["md"].splitlines()[0] == "|  | 50% & \\| \\ |"
    assert r"50\% \& \textbar{} \textbackslash{}" in tables["latex"]

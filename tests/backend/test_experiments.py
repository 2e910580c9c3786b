"""Experiments over HTTP: planned, submitted, extended, cancelled, continued, deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from backend.db.engine import Database
from backend.db.tables import Job, Run
from backend.store import jobs
from backend.store.runs import keep_results
from backend.store.workers import report_worker
from entromask.durations import Speed
from entromask.resources import Experiment, ExperimentPlan, ExperimentSummary
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.backend.api import client, problem
from tests.backend.store.helpers import finish, work
from tests.entromask.analysis import build

BASE: dict[str, Any] = {
    "corpus": {"source": "builtin", "max_tokens": 50_000},
    "tokenizer": {"source": "train", "vocab_size": 512},
    "model": {"architecture": "modernbert", "size": "tiny"},
    "pretraining": {"budget": {"steps": 10}},
    "evaluation": {"tasks": ["demo-order"], "seeds": [0]},
}
SPEC: dict[str, Any] = {
    "name": "two ways",
    "base": BASE | {"teacher": {"run": "big"}},
    "methods": {
        "random": {"masking.preset": "random"},
        "by teacher": {"masking.preset": "teacher-masked-entropy-sample"},
    },
    "teachers": {"big": {"pretraining.budget.steps": 20}},
    "seeds": [0, 1],
    "controls": False,
}


@pytest.fixture
def api(home: Any, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", database.url)
    monkeypatch.setenv("ENTROMASK_RATE_LIMIT", "0")
    settings.cache_clear()
    with client() as asking:
        yield asking


def submitted(api: TestClient, **changes: Any) -> Experiment:
    answer = api.post("/v1/experiments", json={"spec": SPEC | changes})
    assert answer.status_code == 201, answer.text
    return Experiment.model_validate(answer.json())


def shown(api: TestClient, experiment: Experiment) -> Experiment:
    return Experiment.model_validate(api.get(f"/v1/experiments/{experiment.id}").json())


def runs(experiment: Experiment) -> dict[tuple[str, int], str]:
    return {(cell.key, run.seed): run.id for cell in experiment.cells for run in cell.runs}


def queued(database: Database) -> list[str]:
    """The ids of the jobs that a worker may take, in the order in which they are served."""
    with database.read() as session:
        return [job.id for job in jobs.queued(session)]


def done(database: Database, run_id: str) -> None:
    """Does all jobs of a run, and none of those that waited for it."""
    while mine := [id_ for id_ in queued(database) if run_of(id_) == run_id]:
        for id_ in mine:
            work(database, id_)


def run_of(job_id: str) -> str:
    return job_id.rpartition("_")[0].replace("job_", "run_", 1)


def failed(database: Database, run_id: str) -> None:
    with database.write() as session:
        claim = jobs.claim(session, f"{run_id.replace('run_', 'job_', 1)}_0", "w", 30)
    assert claim is not None
    with database.write() as session:
        jobs.fail(session, claim, jobs.Failure("nan_loss", "the loss is nan"))


def test_a_submitted_experiment_queues_its_runs_and_students_wait(
    api: TestClient, database: Database
) -> None:
    answer = api.post("/v1/experiments", json={"spec": SPEC, "tags": ["t"], "priority": 3})
    assert answer.status_code == 201
    found = Experiment.model_validate(answer.json())
    assert answer.headers["location"] == f"/v1/experiments/{found.id}"
    assert (found.status, found.total, found.runs) == ("queued", 5, {"queued": 5})
    of = runs(found)
    # The teacher, then the baseline; the students' jobs wait for the teacher's run.
    ready = [run_of(id_) for id_ in queued(database)]
    assert ready == [of["teacher-big", 0], of["random", 0], of["random", 1]]
    run = api.get(f"/v1/runs/{of['by-teacher', 1]}").json()
    assert (run["experiment_id"], run["seed"], run["priority"]) == (found.id, 1, 3)
    assert (run["tags"], run["name"]) == (["t"], "by teacher seed 1")
    assert run["spec"]["teacher"]["run"] == of["teacher-big", 0]
    written = RunSpec.load(settings().runs / run["id"] / "spec.yaml")
    assert written.spec_hash == run["spec_hash"]
    listed = api.get("/v1/runs", params={"experiment": found.id}).json()["data"]
    assert {row["id"] for row in listed} == set(of.values())
    done(database, of["teacher-big", 0])
    assert {run_of(id_) for id_ in queued(database)} == set(of.values()) - {of["teacher-big", 0]}
    assert shown(api, found).status == "running"


def test_a_plan_tells_counts_and_costs_and_stores_nothing(api: TestClient) -> None:
    spec = SPEC | {"controls": True}
    answer = api.post("/v1/experiments", params={"validate_only": "true"}, json={"spec": spec})
    assert answer.status_code == 200, answer.text
    found = ExperimentPlan.model_validate(answer.json())
    assert [(cell.label, cell.role, len(cell.seeds)) for cell in found.cells] == [
        ("big", "teacher", 1),
        ("random", "baseline", 2),
        ("no pretraining", "control", 2),
        ("frequency", "control", 2),
        ("by teacher", "method", 2),
    ]
    assert (found.total, found.new) == (9, 9)
    # Of each: pretraining, one cell, a floor, the report; the control without pretraining is the
    # floor itself, and the teacher is not evaluated.
    assert found.jobs == 2 + 6 * 4 + 2 * 3
    assert found.tokens == (20 + 6 * 10) * 64 * 128
    assert found.flops is not None
    assert any("2 of at least 3 pretraining seeds" in warning for warning in found.warnings)
    assert api.get("/v1/experiments").json()["data"] == []
    assert api.get("/v1/runs").json()["data"] == []


def test_a_plan_tells_the_time_of_all_its_runs_with_what_one_does_for_all_counted_once(
    api: TestClient, database: Database
) -> None:
    def planned(seeds: list[int]) -> ExperimentPlan:
        spec = SPEC | {"controls": False, "seeds": seeds}
        answer = api.post("/v1/experiments", params={"validate_only": "true"}, json={"spec": spec})
        return ExperimentPlan.model_validate(answer.json())

    assert planned([0]).seconds is None
    state = {"speed": Speed("a processor", 1e-3, 1e10).data()}
    with database.write() as session:
        report_worker(session, "w1", host="h", pid=1, queue="train", state=state)
    one, two, four = (planned(list(range(count))) for count in (1, 2, 4))
    times = [found.seconds for found in (one, two, four)]
    assert None not in times
    first, second, fourth = (float(seconds or 0) for seconds in times)
    # The teacher, its scores and the floors are those of the first seed.
    assert first > second - first > 0
    assert fourth - second == pytest.approx(2 * (second - first))
    cells = [cell.seconds or 0 for cell in four.cells if cell.role != "teacher"]
    assert sum(cells) == pytest.approx(second - first)


def test_a_second_experiment_takes_over_what_has_succeeded(
    api: TestClient, database: Database
) -> None:
    first = submitted(api)
    finish(database, queued(database))
    assert shown(api, first).status == "succeeded"
    second = submitted(api, name="more", seeds=[0, 1, 2])
    mine, theirs = runs(first), runs(second)
    assert {place for place in theirs if theirs[place] == mine.get(place)} == set(mine)
    assert second.runs == {"succeeded": 5, "queued": 2}
    assert [run.reused for cell in second.cells for run in cell.runs].count(True) == 5
    listed = api.get("/v1/runs", params={"experiment": second.id}).json()["data"]
    assert len(listed) == 7
    # A run that stands in two experiments is still of the one that made it.
    row = api.get(f"/v1/runs/{mine['random', 0]}").json()
    assert row["experiment_id"] == first.id


def test_an_experiment_is_extended_by_seeds_and_methods(
    api: TestClient, database: Database
) -> None:
    first = submitted(api)
    finish(database, queued(database))
    body = {"seeds": [2], "methods": {"by counts": {"masking.preset": "frequency"}}}
    answer = api.post(f"/v1/experiments/{first.id}/extend", json=body)
    assert answer.status_code == 200, answer.text
    after = Experiment.model_validate(answer.json())
    assert runs(first).items() <= runs(after).items()
    assert after.total == 10
    assert after.runs == {"succeeded": 5, "queued": 5}
    assert {place for place in runs(after) if place not in runs(first)} == {
        ("random", 2),
        ("by-teacher", 2),
        *(("by-counts", seed) for seed in (0, 1, 2)),
    }
    again = api.post(f"/v1/experiments/{first.id}/extend", json={"seeds": [2]})
    problem(again, 422, "invalid_request")
    taken = api.post(f"/v1/experiments/{first.id}/extend", json={"methods": {"random": {}}})
    assert "has a method random already" in problem(taken, 422, "invalid_spec")["detail"]
    strange = api.post(f"/v1/experiments/{first.id}/extend", json={"matrix": {"seed": [1]}})
    assert (
        "is no key of this experiment's matrix" in problem(strange, 422, "invalid_spec")["detail"]
    )


def test_an_experiment_from_before_the_keys_of_tokenizers_keeps_its_meaning(
    api: TestClient, database: Database
) -> None:
    first = submitted(api)
    with database.write() as session:
        for run in session.scalars(select(Run)):
            run.spec = {**run.spec, "tokenizer": {"source": "train", "vocab_size": 512}}
            former = RunSpec.parse(run.spec)
            run.spec_hash, run.group_hash = former.spec_hash, former.group_hash
    more = {"seeds": [2], "methods": {"frequency": {"masking.preset": "frequency"}}}
    answer = api.post(f"/v1/experiments/{first.id}/extend", json=more)
    assert answer.status_code == 200, answer.text
    cells = Experiment.model_validate(answer.json()).cells
    with database.read() as session:
        rows = {run.id: run for run in session.scalars(select(Run))}
        assert len(rows) == 9 + 1, "three methods of three seeds, and the teacher"
        for run in rows.values():
            assert run.spec["tokenizer"] == {"source": "train", "vocab_size": 512}
        for cell in cells:
            groups = {rows[run.id].group_hash for run in cell.runs}
            assert len(groups) == 1 or cell.key == "by-teacher"


def test_a_cancelled_experiment_stops_all_and_is_continued_by_retry(
    api: TestClient, database: Database
) -> None:
    found = submitted(api)
    of = runs(found)
    done(database, of["random", 0])
    answer = api.post(f"/v1/experiments/{found.id}/cancel")
    assert answer.status_code == 200
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["runs"] == {"succeeded": 1, "cancelled": 4}
    assert queued(database) == []
    again = problem(api.post(f"/v1/experiments/{found.id}/cancel"), 409, "wrong_state")
    assert "is over and cannot be cancelled" in again["detail"]
    continued = api.post(f"/v1/experiments/{found.id}/retry").json()
    assert continued["runs"] == {"succeeded": 1, "queued": 4}
    finish(database, queued(database))
    after = shown(api, found)
    assert after.status == "succeeded"
    assert runs(after) == of


def test_only_what_failed_is_done_again(api: TestClient, database: Database) -> None:
    found = submitted(api)
    of = runs(found)
    failed(database, of["teacher-big", 0])
    finish(database, queued(database))
    # The students cannot start without their teacher.
    assert shown(api, found).runs == {"failed": 3, "succeeded": 2}
    assert shown(api, found).status == "failed"
    before = {id_: api.get(f"/v1/runs/{id_}").json() for id_ in of.values()}
    answer = api.post(f"/v1/experiments/{found.id}/retry")
    assert answer.json()["runs"] == {"queued": 3, "succeeded": 2}
    assert [run_of(id_) for id_ in queued(database)] == [of["teacher-big", 0]]
    finish(database, queued(database))
    assert shown(api, found).status == "succeeded"
    for id_ in (of["random", 0], of["random", 1]):
        assert api.get(f"/v1/runs/{id_}").json() == before[id_]
    nothing = problem(api.post(f"/v1/experiments/{found.id}/retry"), 409, "wrong_state")
    assert "no failed, cancelled or deleted run" in nothing["detail"]


def test_a_deleted_run_is_missing_until_retry_makes_it_again(
    api: TestClient, database: Database
) -> None:
    found = submitted(api)
    finish(database, queued(database))
    gone = runs(found)["random", 1]
    assert api.delete(f"/v1/runs/{gone}").status_code == 204
    now = shown(api, found)
    assert (now.status, now.total, sum(now.runs.values())) == ("failed", 5, 4)
    api.post(f"/v1/experiments/{found.id}/retry")
    after = shown(api, found)
    assert after.runs == {"succeeded": 4, "queued": 1}
    assert runs(after)["random", 1] != gone


def test_a_deleted_experiment_leaves_its_runs(api: TestClient, database: Database) -> None:
    found = submitted(api)
    refused = problem(api.delete(f"/v1/experiments/{found.id}"), 409, "wrong_state")
    assert "cancel it first" in refused["hint"]
    finish(database, queued(database))
    assert api.delete(f"/v1/experiments/{found.id}").status_code == 204
    problem(api.get(f"/v1/experiments/{found.id}"), 404, "not_found")
    assert len(api.get("/v1/runs").json()["data"]) == 5


def test_lists_are_paged_searched_and_not_sent_twice(api: TestClient) -> None:
    made = [submitted(api, name=name) for name in ("one", "the second", "three")]
    first = api.get("/v1/experiments", params={"limit": 2})
    assert [row["id"] for row in first.json()["data"]] == [made[2].id, made[1].id]
    second = api.get("/v1/experiments", params={"limit": 2, "after": first.json()["next"]}).json()
    assert ([row["id"] for row in second["data"]], second["has_more"]) == ([made[0].id], False)
    found = api.get("/v1/experiments", params={"q": "SECOND the"}).json()["data"]
    assert [row["id"] for row in found] == [made[1].id]
    for path in ("/v1/experiments", f"/v1/experiments/{made[0].id}"):
        etag = api.get(path).headers["etag"]
        assert api.get(path, headers={"If-None-Match": etag}).status_code == 304
    run = runs(made[0])["random", 0]
    api.post(f"/v1/runs/{run}/cancel")
    assert (
        api.get(f"/v1/experiments/{made[0].id}", headers={"If-None-Match": etag}).status_code == 200
    )


def test_a_post_with_one_key_makes_one_experiment(api: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first, second = (
        api.post("/v1/experiments", json={"spec": SPEC}, headers=headers).json() for _ in range(2)
    )
    assert first["id"] == second["id"]
    assert len(api.get("/v1/runs").json()["data"]) == 5


@pytest.mark.parametrize(
    ("changes", "pointer", "detail"),
    [
        ({"seeds": ["a"]}, "/spec/seeds/0", "valid integer"),
        ({"methods": {}, "matrix": {}, "baseline": "x"}, "/spec/baseline", "is no method"),
        (
            {"base": BASE | {"teacher": {"run": "run_none"}}, "teachers": {}},
            "/spec/methods/random/teacher/run",
            "no run 'run_none'",
        ),
        (
            {"base": BASE | {"corpus": {"source": "local", "path": "/no/such"}}, "teachers": {}},
            "/spec/methods/random/corpus/path",
            "there is no '/no/such'",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place_before_anything_is_stored(
    api: TestClient, changes: dict[str, Any], pointer: str, detail: str
) -> None:
    for query in ({}, {"validate_only": "true"}):
        found = problem(
            api.post("/v1/experiments", params=query, json={"spec": SPEC | changes}),
            422,
            "invalid_spec",
        )
        assert pointer in [entry["pointer"] for entry in found["errors"]]
        assert detail in found["detail"]
    assert api.get("/v1/runs").json()["data"] == []
    assert list(settings().runs.glob("*")) == []


@pytest.mark.slow
def test_a_thousand_runs_are_planned_and_queued_in_their_order(
    api: TestClient, database: Database
) -> None:
    spec = {
        "name": "large",
        "base": BASE,
        "matrix": {"masking.rate": [round(0.05 + 0.001 * i, 3) for i in range(100)]},
        "baseline": {"masking.rate": 0.05},
        "seeds": list(range(10)),
        "controls": False,
    }
    plan = api.post("/v1/experiments", params={"validate_only": "true"}, json={"spec": spec})
    assert plan.json()["new"] == 1000
    assert api.post("/v1/experiments", json={"spec": spec}).status_code == 201
    with database.read() as session:
        rows = session.scalars(select(Run).order_by(Run.created_at)).all()
        kinds = Counter(session.scalars(select(Job.status)))
    assert [row.spec["masking"]["rate"] for row in rows[:10]] == [0.05] * 10
    assert len(rows) == len({(row.group_hash, row.seed) for row in rows}) == 1000
    assert kinds == {"queued": 1000, "waiting": 3000}


def test_the_report_is_of_what_is_finished_and_not_sent_twice(
    api: TestClient, database: Database
) -> None:
    found = submitted(api, controls={"frequency": False, "equal_compute": False})
    of = runs(found)
    scores = {"random": (0.60, 0.62), "by-teacher": (0.71, 0.73), "no-pretraining": (0.50, 0.50)}
    for key, by_seed in scores.items():
        for seed, score in enumerate(by_seed):
            with database.write() as session:
                keep_results(session, of[key, seed], build.results({"demo-order": (score,)}))
    finish(database, queued(database))
    path = f"/v1/experiments/{found.id}/summary"
    answer = api.get(path)
    summary = ExperimentSummary.model_validate(answer.json())
    assert (summary.id, summary.status) == (found.id, "succeeded")
    assert summary.runs.succeeded == summary.runs.planned == 7
    [task] = [one for one in summary.measures if one.key == "demo-order"]
    results = {
        cell.key: next((r for r in cell.results if r.measure == task.key), None)
        for cell in summary.cells
    }
    assert results["random"] is not None
    assert results["random"].per_seed == {"0": 0.60, "1": 0.62}
    assert results["by-teacher"] is not None
    [difference] = results["by-teacher"].differences
    assert (difference.to, difference.n, difference.paired) == ("random", 2, True)
    assert difference.mean == pytest.approx(0.11)
    assert results["teacher-big"] is None
    for format_, kind in (
        ("md", "text/markdown"),
        ("csv", "text/csv"),
        ("latex", "application/x-latex"),
        ("html", "text/html"),
    ):
        report = api.get(path, params={"format": format_})
        assert report.status_code == 200
        assert report.headers["content-type"].startswith(kind)
        assert "by teacher" in report.text
        headers = {"If-None-Match": report.headers["etag"]}
        assert api.get(path, params={"format": format_}, headers=headers).status_code == 304
    assert "default-src 'none'" in report.headers["content-security-policy"]
    headers = {"If-None-Match": answer.headers["etag"]}
    api.post(f"/v1/experiments/{found.id}/extend", json={"seeds": [2]})
    again = api.get(path, headers=headers)
    assert again.status_code == 200
    assert again.json()["runs"]["unfinished"] == 3
    problem(api.get("/v1/experiments/exp_none/summary"), 404, "not_found")

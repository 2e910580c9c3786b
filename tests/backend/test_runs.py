"""Runs over HTTP: submitted, listed, changed, told what to do, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from backend.db.engine import Database
from backend.store import jobs
from backend.store.locks import get_run
from entromask.settings import settings
from entromask.spec import RunSpec
from tests.backend.api import SPEC, client, problem, submitted


@pytest.fixture
def api(home: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("ENTROMASK_DATABASE_URL", database.url)
    monkeypatch.setenv("ENTROMASK_RATE_LIMIT", "0")
    settings.cache_clear()
    with client() as asking:
        yield asking


def end(database: Database, run_id: str, how: str) -> None:
    """Ends a queued run's first job."""
    with database.write() as session:
        claim = jobs.claim(session, f"{run_id.replace('run_', 'job_')}_0", "w", 30)
    assert claim is not None
    with database.write() as session:
        if how == "failed":
            jobs.fail(session, claim, jobs.Failure("nan_loss", "the loss is nan"))
        else:
            jobs.succeed(session, claim)


def test_a_submitted_run_is_stored_and_its_resolved_spec_lies_in_its_folder(
    api: TestClient,
) -> None:
    answer = api.post("/v1/runs", json={"spec": SPEC, "tags": ["a"], "notes": "n", "priority": 2})
    run = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/runs/{run['id']}"
    assert (run["status"], run["tags"], run["notes"], run["priority"]) == ("queued", ["a"], "n", 2)
    spec = RunSpec.load(settings().runs / run["id"] / "spec.yaml")
    assert spec.data() == run["spec"] == spec.resolved().data()
    assert api.get(answer.headers["location"]).json() == run


@pytest.mark.parametrize("key", ["teacher", "init"])
def test_a_model_folder_that_cannot_be_loaded_is_refused_at_submission(
    api: TestClient, tmp_path: Path, key: str
) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    reference = {"path": str(tmp_path)}
    part = {"teacher": reference} if key == "teacher" else {"model": {"init": reference}}
    answer = api.post("/v1/runs", json={"spec": SPEC | part})
    found = problem(answer, 422, "invalid_spec")
    assert "pytorch_model.bin, a pickle" in found["errors"][0]["detail"]
    pointer = "/spec/teacher/path" if key == "teacher" else "/spec/model/init/path"
    assert found["errors"][0]["pointer"] == pointer


def test_validate_only_stores_nothing_and_tells_the_cost(api: TestClient) -> None:
    body = {"spec": SPEC | {"teacher": {"hub": "a/b"}, "tokenizer": {"source": "train"}}}
    answer = api.post("/v1/runs", params={"validate_only": "true"}, json=body)
    assert answer.status_code == 200
    found = answer.json()
    assert found["estimate"]["tokens"] == 10 * 64 * 128
    assert found["estimate"]["steps"] == 10
    assert found["estimate"]["seconds"] is None
    assert found["spec"]["masking"]["score"] == "uniform"
    words = " ".join(found["warnings"])
    assert "seeds" in words
    assert "81,920 tokens are few" in words
    assert "teacher is given but not used" in words
    assert api.get("/v1/runs").json()["data"] == []
    assert not settings().runs.exists() or not any(settings().runs.iterdir())


@pytest.mark.parametrize(
    ("spec", "pointer"),
    [
        ({"masking": {"rate": 2}}, "/spec/masking/rate"),
        ({"corpus": {"source": "local", "path": "/no/such"}}, "/spec/corpus/path"),
        ({"corpus": {"source": "local", "path": "relative"}}, "/spec/corpus/path"),
        ({"teacher": {"run": "run_0"}}, "/spec/teacher/run"),
        ({"model": {"init": {"path": "/no/such"}}}, "/spec/model/init/path"),
        ({"evaluation": {"source": {"local": ["/", "/no"]}}}, "/spec/evaluation/source/local/1"),
        ({"nonsense": 1}, "/spec/nonsense"),
        ({"masking": {"preset": "teacher-entropy-high"}}, "/spec/teacher"),
        ({"tags": ["x" * 101]}, "/spec/tags/0"),
    ],
)
def test_a_refused_spec_says_where_and_stores_nothing(
    api: TestClient, spec: dict[str, Any], pointer: str
) -> None:
    body = problem(api.post("/v1/runs", json={"spec": spec}), 422, "invalid_spec")
    assert [error["pointer"] for error in body["errors"]] == [pointer]
    assert api.get("/v1/runs").json()["data"] == []


def test_an_unknown_field_of_the_body_is_refused_by_its_pointer(api: TestClient) -> None:
    body = problem(api.post("/v1/runs", json={"spec": {}, "nme": 1}), 422, "invalid_request")
    assert body["errors"][0]["pointer"] == "/nme"


def test_pages_show_every_run_once_the_newest_first(api: TestClient) -> None:
    made = [submitted(api, seed=seed)["id"] for seed in range(5)]
    seen: list[str] = []
    after = None
    while True:
        params = {"limit": 2} | ({"after": after} if after else {})
        page = api.get("/v1/runs", params=params).json()
        seen += [run["id"] for run in page["data"]]
        if not page["has_more"]:
            break
        after = page["next"]
    assert seen == made[::-1]
    assert page["next"] is None


def test_a_changed_cursor_is_refused(api: TestClient) -> None:
    for seed in range(2):
        submitted(api, seed=seed)
    cursor = api.get("/v1/runs", params={"limit": 1}).json()["next"]
    other = "B" if cursor.startswith("A") else "A"
    for bad in ("x", "", cursor[:-2], other + cursor[1:], cursor + "A", "é"):
        problem(api.get("/v1/runs", params={"after": bad}), 400, "invalid_cursor")


def test_each_filter_keeps_what_it_names(api: TestClient) -> None:
    one = submitted(api, name="Alpha 10%", tags=["x"])
    two = submitted(api, name="beta", masking={"preset": "frequency"})
    cases = [
        ({"tag": "x"}, [one]),
        ({"strategy": "frequency"}, [two]),
        ({"group": one["group_hash"]}, [one]),
        ({"q": "alpha 10%"}, [one]),
        ({"q": "a%a"}, []),
        ({"status": "queued"}, [two, one]),
        ({"status": "failed"}, []),
        ({"experiment": "e"}, []),
    ]
    for params, expected in cases:
        data = api.get("/v1/runs", params=params).json()["data"]
        assert [run["id"] for run in data] == [run["id"] for run in expected], params
    body = problem(api.get("/v1/runs", params={"status": "lost"}), 422, "invalid_request")
    assert body["errors"][0]["pointer"] == "status"


def test_an_unchanged_run_or_list_is_not_sent_again(api: TestClient) -> None:
    run = submitted(api)
    for address in (f"/v1/runs/{run['id']}", "/v1/runs"):
        tag = api.get(address).headers["etag"]
        assert tag.startswith('W/"')
        again = api.get(address, headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
        api.patch(f"/v1/runs/{run['id']}", json={"notes": address})
        assert api.get(address, headers={"If-None-Match": tag}).status_code == 200


def test_a_patch_changes_what_it_names_and_nothing_else(api: TestClient) -> None:
    run = submitted(api)
    answer = api.patch(f"/v1/runs/{run['id']}", json={"name": "other", "tags": ["b"]})
    changed = {"name", "tags"}
    after = answer.json()
    assert answer.headers["etag"] == api.get(f"/v1/runs/{run['id']}").headers["etag"]
    assert {key for key in run if run[key] != after[key]} == changed
    assert [r["id"] for r in api.get("/v1/runs", params={"tag": "b"}).json()["data"]] == [run["id"]]


def test_a_verb_in_the_wrong_state_is_refused_with_the_state(
    api: TestClient, database: Database
) -> None:
    going, failed = submitted(api)["id"], submitted(api, seed=1)["id"]
    end(database, failed, "failed")
    cancelled = submitted(api, seed=2)["id"]
    assert api.post(f"/v1/runs/{cancelled}/cancel").json()["status"] == "cancelled"
    cases = [
        (going, "resume", "queued"),
        (going, "retry", "queued"),
        (failed, "cancel", "failed"),
        (failed, "resume", "failed"),
        (cancelled, "kill", "cancelled"),
        (cancelled, "retry", "cancelled"),
    ]
    for run_id, verb, state in cases:
        body = problem(api.post(f"/v1/runs/{run_id}/{verb}"), 409, "wrong_state")
        assert f"is {state} " in body["detail"]
    hint = api.post(f"/v1/runs/{failed}/resume").json()["hint"]
    assert "retry" in hint
    problem(api.delete(f"/v1/runs/{going}"), 409, "wrong_state")


def test_cancelled_and_failed_runs_are_continued(api: TestClient, database: Database) -> None:
    cancelled, failed = submitted(api)["id"], submitted(api, seed=1)["id"]
    api.post(f"/v1/runs/{cancelled}/cancel")
    end(database, failed, "failed")
    shown = api.get(f"/v1/runs/{failed}").json()
    assert shown["error"] == {"code": "nan_loss", "message": "the loss is nan", "hint": None}
    assert api.post(f"/v1/runs/{cancelled}/resume").json()["status"] == "queued"
    after = api.post(f"/v1/runs/{failed}/retry").json()
    assert (after["status"], after["error"]) == ("queued", None)


def test_a_deleted_run_is_gone_and_its_folder_is_in_the_trash(api: TestClient) -> None:
    run = submitted(api)["id"]
    api.post(f"/v1/runs/{run}/cancel")
    assert api.delete(f"/v1/runs/{run}").status_code == 204
    problem(api.get(f"/v1/runs/{run}"), 404, "not_found")
    assert not (settings().runs / run).exists()
    assert (settings().root / "trash" / run / "spec.yaml").is_file()


def test_a_run_waits_for_its_teacher_and_keeps_it_from_being_deleted(
    api: TestClient, database: Database
) -> None:
    teacher = submitted(api)["id"]
    pupil = submitted(
        api, teacher={"run": teacher}, masking={"preset": "teacher-masked-entropy-high"}
    )["id"]
    with database.read() as session:
        assert get_run(session, pupil) is not None
        assert [job.run_id for job in jobs.queued(session)] == [teacher]
    api.post(f"/v1/runs/{teacher}/cancel")
    # The teacher's end fails the pupil; while a pupil is not over its teacher stays.
    assert api.get(f"/v1/runs/{pupil}").json()["status"] == "failed"
    problem(api.post(f"/v1/runs/{pupil}/retry"), 409, "wrong_state")
    api.post(f"/v1/runs/{teacher}/resume")
    assert api.post(f"/v1/runs/{pupil}/retry").json()["status"] == "queued"


def test_a_model_that_a_run_to_come_starts_from_is_not_deleted(
    api: TestClient, database: Database
) -> None:
    base = submitted(api, evaluation={"tasks": []})["id"]
    user = submitted(api, seed=1)["id"]
    with database.write() as session:
        row = get_run(session, user, lock=True)
        assert row is not None
        row.spec = row.spec | {"teacher": {"run": base}}
    api.post(f"/v1/runs/{base}/cancel")
    body = problem(api.delete(f"/v1/runs/{base}"), 409, "in_use")
    assert user in body["detail"]


def test_a_run_that_has_no_model_to_come_is_no_teacher(api: TestClient) -> None:
    teacher = submitted(api)["id"]
    api.post(f"/v1/runs/{teacher}/cancel")
    spec = {"teacher": {"run": teacher}, "masking": {"preset": "teacher-entropy-high"}}
    body = problem(api.post("/v1/runs", json={"spec": spec}), 422, "invalid_spec")
    assert "resume it first" in body["errors"][0]["detail"]


def a_checkpoint(run_id: str, step: int) -> None:
    """What a run writes at a step, as far as a reference is checked."""
    folder = settings().runs / run_id / "checkpoints" / f"step-{step}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")


MASKED = {"preset": "teacher-masked-entropy-sample"}
BY_CHECKPOINT: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"masking": MASKED}, ("teacher",)),
    ({"distillation": {"weight": 0.3}}, ("teacher",)),
    ({"model": {"size": "tiny", "init": "teacher-complete"}}, ("teacher",)),
    ({}, ("model", "init")),
]


def with_reference(parts: dict[str, Any], place: tuple[str, ...], given: Any) -> dict[str, Any]:
    inner = {"init": given} if place == ("model", "init") else given
    return SPEC | parts | {place[0]: inner}


@pytest.mark.parametrize(("parts", "place"), BY_CHECKPOINT, ids=str)
def test_nothing_waits_for_a_run_whose_checkpoint_is_named(
    api: TestClient, database: Database, parts: dict[str, Any], place: tuple[str, ...]
) -> None:
    base = submitted(api)["id"]
    a_checkpoint(base, 5)
    spec = with_reference(parts, place, {"run": base, "checkpoint": 5})
    answer = api.post("/v1/runs", json={"spec": spec})
    assert answer.status_code == 201, answer.text
    pupil = answer.json()
    with database.read() as session:
        assert {job.run_id for job in jobs.queued(session)} == {base, pupil["id"]}
    # The tokenizer is the one beside that checkpoint, and its end leaves the pupil alone.
    assert pupil["spec"]["tokenizer"]["path"].endswith(f"{base}/checkpoints/step-5")
    api.post(f"/v1/runs/{base}/cancel")
    assert api.get(f"/v1/runs/{pupil['id']}").json()["status"] == "queued"
    # Of a run that was cancelled there is no model to come; its checkpoints stay.
    again = api.post("/v1/runs", json={"spec": spec | {"seed": 1}})
    assert again.status_code == 201, again.text


@pytest.mark.parametrize(("parts", "place"), BY_CHECKPOINT, ids=str)
def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(
    api: TestClient, parts: dict[str, Any], place: tuple[str, ...]
) -> None:
    base = submitted(api)["id"]
    a_checkpoint(base, 5)
    cases = [
        ({"run": base, "checkpoint": 6}, "checkpoint", "it has those at step 5"),
        ({"run": "run_0", "checkpoint": 5}, "run", "no run 'run_0'"),
        ({"path": "/a/b", "checkpoint": 5}, None, "a checkpoint goes with run"),
    ]
    for given, key, words in cases:
        spec = with_reference(parts, place, given)
        body = problem(api.post("/v1/runs", json={"spec": spec}), 422, "invalid_spec")
        [error] = body["errors"]
        assert error["pointer"] == "/".join(["/spec", *place, *([key] if key else [])])
        assert words in error["detail"]
    assert len(api.get("/v1/runs").json()["data"]) == 1


def test_a_checkpoint_of_a_run_that_goes_on_may_be_gone_and_that_is_said(api: TestClient) -> None:
    base = submitted(api)["id"]
    a_checkpoint(base, 5)
    spec = SPEC | {"teacher": {"run": base, "checkpoint": 5}, "distillation": {}}

    def said() -> str:
        answer = api.post("/v1/runs", params={"validate_only": "true"}, json={"spec": spec})
        return " ".join(answer.json()["warnings"])

    assert "the one at step 5 may be gone when this run starts" in said()
    api.post(f"/v1/runs/{base}/cancel")
    assert "may be gone" not in said()


def test_an_estimate_with_a_teacher_of_this_server_knows_its_vocabulary_and_its_shape(
    api: TestClient,
) -> None:
    teacher = submitted(api, model={"size": "base"})["id"]
    spec = SPEC | {"teacher": {"run": teacher}, "distillation": {}}
    alone, taught = (
        api.post("/v1/runs", params={"validate_only": "true"}, json={"spec": one}).json()
        for one in (SPEC, spec)
    )
    assert taught["estimate"]["parameters"] == alone["estimate"]["parameters"]
    # The teacher is a hundred times as large as the student.
    assert taught["estimate"]["flops"] > 5 * alone["estimate"]["flops"]


def test_a_clone_changes_what_it_names_and_points_at_the_override_that_is_wrong(
    api: TestClient,
) -> None:
    run = submitted(api, masking={"preset": "random", "rate": 0.3})
    changes = {"seed": 7, "masking.preset": "frequency", "pretraining.budget.tokens": 10_000}
    clone = api.post(f"/v1/runs/{run['id']}/clone", json={"overrides": changes}).json()
    assert clone["seed"] == 7
    assert (clone["spec"]["masking"]["score"], clone["spec"]["masking"]["rate"]) == (
        "frequency",
        0.3,
    )
    assert clone["spec"]["pretraining"]["budget"]["steps"] is None
    plain = api.post(f"/v1/runs/{run['id']}/clone").json()
    assert plain["spec_hash"] == run["spec_hash"]
    refused = api.post(f"/v1/runs/{run['id']}/clone", json={"overrides": {"masking.rate": 2}})
    assert (
        problem(refused, 422, "invalid_spec")["errors"][0]["pointer"] == "/overrides/masking.rate"
    )


def test_a_hundred_posts_with_one_key_make_one_run(api: TestClient) -> None:
    headers = {"Idempotency-Key": "one"}

    def post(_: int) -> tuple[int, str, str | None]:
        answer = api.post("/v1/runs", json={"spec": SPEC}, headers=headers)
        return answer.status_code, answer.text, answer.headers.get("Idempotent-Replay")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(post, range(100)))
    assert {status for status, _, _ in answers} == {201}
    assert len({text for _, text, _ in answers}) == 1
    assert [replay for _, _, replay in answers].count(None) == 1
    assert len(api.get("/v1/runs").json()["data"]) == 1
    assert len(list(settings().runs.iterdir())) == 1


def test_a_key_that_comes_with_another_body_is_refused(api: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    assert api.post("/v1/runs", json={"spec": SPEC}, headers=headers).status_code == 201
    other = api.post("/v1/runs", json={"spec": SPEC, "notes": "x"}, headers=headers)
    problem(other, 422, "idempotency_key_reused")


def test_an_unknown_run_is_a_problem_everywhere(api: TestClient) -> None:
    for verb in ("cancel", "kill", "resume", "retry", "clone"):
        problem(api.post(f"/v1/runs/run_0/{verb}"), 404, "not_found")
    for part in ("", "/events", "/logs", "/metrics", "/results", "/artifacts", "/artifacts/x"):
        problem(api.get(f"/v1/runs/run_0{part}"), 404, "not_found")
    problem(api.patch("/v1/runs/run_0", json={}), 404, "not_found")
    problem(api.delete("/v1/runs/run_0"), 404, "not_found")

"""Runs: submitted, listed, read, changed, deleted, told what to do."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request, Response

from backend.dependencies import After, CallerDep, Db, IdempotencyKey, Limit, answer, api_router
from backend.idempotent import answer_once
from backend.paging import from_cursor, not_modified, page, to_cursor, weak_etag
from backend.problems import missing, responses
from backend.routes import examples
from backend.run_actions import change_state, delete_unused, overridden
from backend.specs import check_spec
from backend.store.locks import get_run
from backend.store.runs import Filters, edit_run, list_runs
from backend.submission import move_to_trash, submit
from backend.validation import validate
from backend.views import run_view
from entromask.resources import (
    CloneRequest,
    NewRun,
    Page,
    Run,
    RunChange,
    RunStatus,
    Validation,
)

router = api_router("runs")

RunId = Annotated[str, Path(max_length=200, examples=["run_0193f2a1c4b27d1e9a4c3b2f"])]
Word = Annotated[str | None, Query(max_length=200)]
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "the client has it already"}}


def etag_of(run: Any) -> str:
    return weak_etag(run.id, run.version)


def _made(run: dict[str, Any]) -> dict[str, str]:
    return {"Location": f"/v1/runs/{run['id']}"}


@router.post(
    "/runs",
    operation_id="create_run",
    summary="Submit a run, or only validate its spec",
    status_code=201,
    response_model=Run,
    responses={
        200: {"model": Validation, "description": "`validate_only`: nothing was stored"},
        **responses(413, 415),
    },
)
def create(
    database: Db,
    caller: CallerDep,
    body: Annotated[NewRun, examples.NEW_RUN],
    key: IdempotencyKey = None,
    validate_only: Annotated[
        bool, Query(description="only say what the run would be and cost")
    ] = False,
) -> Response:
    if validate_only:
        with database.read() as session:
            return answer(validate(session, body.spec))
    done = answer_once(
        database,
        caller,
        key,
        ["POST", "/v1/runs", body.model_dump()],
        lambda session: submit(
            session,
            check_spec(session, body.spec, lock=True),
            tags=body.tags,
            notes=body.notes,
            priority=body.priority,
        ),
    )
    return answer(done.body, done.status, done.headers | _made(done.body))


@router.get(
    "/runs",
    operation_id="list_runs",
    summary="List runs, the newest first",
    response_model=Page[Run],
    responses=NOT_MODIFIED,
)
def list_(
    request: Request,
    database: Db,
    status: RunStatus | None = None,
    tag: Word = None,
    experiment: Word = None,
    strategy: Word = None,
    group: Word = None,
    q: Annotated[str | None, Query(max_length=200, description="words of name and notes")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    filters = Filters(status, tag, experiment, strategy, group, q)
    behind = from_cursor(after)
    with database.read() as session:
        runs = list_runs(session, filters, limit + 1, behind)
    more, runs = len(runs) > limit, runs[:limit]
    etag = weak_etag([(run.id, run.version) for run in runs], more)
    unchanged = not_modified(request, etag)
    if unchanged:
        return unchanged
    next_ = to_cursor(runs[-1].created_at, runs[-1].id) if more else None
    return answer(page([run_view(run) for run in runs], more, next_), headers={"ETag": etag})


@router.get(
    "/runs/{run_id}",
    operation_id="get_run",
    summary="Read a run",
    response_model=Run,
    responses={**NOT_MODIFIED, **responses(404)},
)
def read(request: Request, database: Db, run_id: RunId) -> Response:
    with database.read() as session:
        run = get_run(session, run_id)
    if run is None:
        raise missing("run", run_id)
    etag = etag_of(run)
    return not_modified(request, etag) or answer(run_view(run), headers={"ETag": etag})


@router.patch(
    "/runs/{run_id}",
    operation_id="change_run",
    summary="Change a run's name, tags, notes or priority",
    response_model=Run,
    responses=responses(404, 413, 415),
)
def change(
    database: Db, run_id: RunId, body: Annotated[RunChange, examples.RUN_CHANGE]
) -> Response:
    with database.write() as session:
        run = get_run(session, run_id, lock=True)
        if run is None:
            raise missing("run", run_id)
        edit_run(session, run, **body.model_dump(exclude_none=True))
        session.flush()
        view, etag = run_view(run), etag_of(run)
    return answer(view, headers={"ETag": etag})


@router.delete(
    "/runs/{run_id}",
    operation_id="delete_run",
    summary="Delete a run that is over; its folder goes to the trash",
    status_code=204,
    response_class=Response,
    responses=responses(404, 409),
)
def delete(database: Db, run_id: RunId) -> Response:
    with database.write() as session:
        delete_unused(session, run_id)
    move_to_trash(run_id)
    return Response(status_code=204)


def _action(verb: str, summary: str) -> None:
    """Adds POST /v1/runs/{id}/VERB."""

    def act(database: Db, run_id: RunId) -> Response:
        view, etag = change_state(database, run_id, verb)
        return answer(view, headers={"ETag": etag})

    router.add_api_route(
        f"/runs/{{run_id}}/{verb}",
        act,
        methods=["POST"],
        operation_id=f"{verb}_run",
        summary=summary,
        response_model=Run,
        responses=responses(404, 409),
    )


_action("cancel", "Stop a run; it writes a checkpoint first")
_action("kill", "Stop a run at once")
_action("resume", "Continue a cancelled run from its last checkpoint")
_action("retry", "Do a failed run's unfinished jobs again")


@router.post(
    "/runs/{run_id}/clone",
    operation_id="clone_run",
    summary="Submit a run's spec again, with changes",
    status_code=201,
    response_model=Run,
    responses=responses(404, 413, 415),
)
def clone(
    database: Db,
    caller: CallerDep,
    run_id: RunId,
    body: Annotated[CloneRequest | None, examples.CLONE] = None,
    key: IdempotencyKey = None,
) -> Response:
    wanted = body or CloneRequest()
    done = answer_once(
        database,
        caller,
        key,
        ["POST", f"/v1/runs/{run_id}/clone", wanted.model_dump()],
        lambda session: overridden(session, run_id, wanted),
    )
    return answer(done.body, done.status, done.headers | _made(done.body))

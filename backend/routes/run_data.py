"""What a run has brought forth: events, log, metrics, results, files."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Header, Path, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse
from sqlalchemy.orm import Session

from backend.dependencies import BIG, Db, Limit, answer, api_router
from backend.folders import find_file, list_files, read_log
from backend.paging import not_modified, page, weak_etag
from backend.problems import ProblemError, missing, responses
from backend.ranges import check_range
from backend.routes.runs import NOT_MODIFIED, RunId
from backend.store.feed import events_after
from backend.store.locks import get_run
from backend.store.metrics import SCORING_COST, history, scoring_cost
from backend.store.overview import Standing, standing
from backend.streaming import event_stream
from backend.views import event_view
from entromask.resources import Artifact, Event, MetricHistory, Page

router = api_router("run data")

_STREAM = "text/event-stream"
_SEQ = Query(ge=0, le=BIG, description="the `seq` of the last event that is known")


def _standing(session: Session, run_id: str) -> Standing:
    found = standing(session, run_id)
    if found is None:
        raise missing("run", run_id)
    return found


@router.get(
    "/runs/{run_id}/events",
    operation_id="list_run_events",
    summary="A run's events: a page, or with Accept: text/event-stream a stream",
    response_model=Page[Event],
    responses={
        200: {
            "description": "the oldest first. The stream has messages `event` (with the event's "
            "seq as id), `progress` (no id) and, when the run is over, `end`",
            "content": {_STREAM: {"schema": {"type": "string"}}},
        },
        **responses(404),
    },
)
def events(
    request: Request,
    database: Db,
    run_id: RunId,
    after: Annotated[int, _SEQ] = 0,
    limit: Limit = 100,
    type_: Annotated[
        str | None,
        Query(
            alias="type",
            max_length=200,
            description="only events of these types, separated by ','; a stream has all",
        ),
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=20, description="of a stream that is taken up again")
    ] = None,
) -> Response:
    stream = _STREAM in request.headers.get("accept", "")
    with database.read() as session:
        _standing(session, run_id)
        if not stream:
            types = [word for word in (type_ or "").split(",") if word]
            found = events_after(session, run_id, after, limit + 1, types)
            data = [event_view(event) for event in found[:limit]]
            more = len(found) > limit
            return answer(page(data, more, str(data[-1]["seq"]) if more else None))
    behind = max(after, _last(last_event_id))
    return StreamingResponse(
        event_stream(database, run_id, behind, request.app.state.stopping),
        media_type=_STREAM,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _last(given: str | None) -> int:
    """An id that is none of ours starts the stream anew: nothing is missed then."""
    if given is None or not (given.isascii() and given.isdigit()):
        return 0
    return min(int(given), BIG)


@router.get(
    "/runs/{run_id}/logs",
    operation_id="read_run_log",
    summary="A run's log, at most 1 MB of it at once",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "plain text",
            "headers": {
                "X-Next-Offset": {
                    "description": "the `offset` that continues behind this",
                    "schema": {"type": "integer"},
                }
            },
        },
        **responses(404),
    },
)
def logs(
    database: Db,
    run_id: RunId,
    tail: Annotated[int | None, Query(ge=0, le=100_000, description="only the last lines")] = None,
    offset: Annotated[int | None, Query(ge=0, le=BIG, description="only behind this byte")] = None,
) -> Response:
    with database.read() as session:
        _standing(session, run_id)
    text, end = read_log(run_id, tail=tail, offset=offset)
    return PlainTextResponse(text, headers={"X-Next-Offset": str(end)})


@router.get(
    "/runs/{run_id}/metrics",
    operation_id="read_run_metrics",
    summary="The history of a run's metrics, thinned",
    response_model=MetricHistory,
    responses={**NOT_MODIFIED, **responses(404)},
)
def metrics(
    request: Request,
    database: Db,
    run_id: RunId,
    keys: Annotated[
        str | None,
        Query(max_length=2000, description="names, separated by ','; default: all"),
    ] = None,
    max_points: Annotated[int, Query(ge=1, le=10_000, description="of each metric")] = 1000,
) -> Response:
    with database.read() as session:
        now = _standing(session, run_id)
        etag = weak_etag(run_id, now.version, keys, max_points)
        unchanged = not_modified(request, etag)
        if unchanged:
            return unchanged
        wanted = None if keys is None else [key for key in keys.split(",") if key]
        series = history(session, run_id, wanted, max_points)
        series |= scoring_cost(session, run_id, set(wanted or SCORING_COST) - series.keys())
    body = {"object": "run.metrics", "run": run_id, "series": series}
    return answer(body, headers={"ETag": etag})


@router.get(
    "/runs/{run_id}/results",
    operation_id="read_run_results",
    summary="A run's results.json",
    response_model=dict[str, Any],
    responses=responses(404),
)
def results(database: Db, run_id: RunId) -> Response:
    with database.read() as session:
        run = get_run(session, run_id)
    if run is None:
        raise missing("run", run_id)
    if run.results is None:
        raise ProblemError(
            "no_results",
            f"the run {run_id} is {run.status} and has no results",
            "they are there when the run has succeeded",
        )
    return answer(run.results)


@router.get(
    "/runs/{run_id}/artifacts",
    operation_id="list_run_artifacts",
    summary="The files of a run",
    response_model=Page[Artifact],
    responses=responses(404),
)
def artifacts(database: Db, run_id: RunId) -> Response:
    with database.read() as session:
        _standing(session, run_id)
    return answer(page(list_files(run_id)))


@router.get(
    "/runs/{run_id}/artifacts/{path:path}",
    operation_id="download_run_artifact",
    summary="Download a file of a run, or a range of its bytes",
    response_class=FileResponse,
    responses={
        200: {
            "description": "the whole file",
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
        },
        206: {
            "description": "a range of it",
            "content": {
                "application/octet-stream": {"schema": {"type": "string"}},
                "multipart/byteranges": {"schema": {"type": "string"}},
            },
        },
        **NOT_MODIFIED,
        **responses(404, 416),
    },
)
def download(
    request: Request,
    database: Db,
    run_id: RunId,
    path: Annotated[str, Path(max_length=1000, examples=["results.json"])],
) -> Response:
    with database.read() as session:
        _standing(session, run_id)
    file = find_file(run_id, path)
    if file is None:
        raise ProblemError(
            "not_found",
            f"the run {run_id} has no file '{path[:200]}'",
            f"GET /v1/runs/{run_id}/artifacts lists its files",
        )
    found = file.stat()
    check_range(request, found.st_size)
    response = FileResponse(
        file, media_type="application/octet-stream", filename=file.name, stat_result=found
    )
    return not_modified(request, response.headers["etag"]) or response

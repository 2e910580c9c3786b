"""Experiments: planned, submitted, listed, read, reported, extended, cancelled, continued."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query, Request, Response
from sqlalchemy.orm import Session

from backend import experiments
from backend.db.tables import Experiment as Row
from backend.dependencies import After, CallerDep, Db, IdempotencyKey, Limit, answer, api_router
from backend.idempotent import answer_once
from backend.paging import from_cursor, not_modified, page, to_cursor, weak_etag
from backend.problems import missing, responses
from backend.routes import examples
from backend.routes.runs import NOT_MODIFIED
from backend.store import experiments as store
from backend.store.experiments import Standing
from entromask.resources import (
    Experiment,
    ExperimentExtension,
    ExperimentPlan,
    ExperimentSummary,
    NewExperiment,
    Page,
    ReportFormat,
)

router = api_router("experiments")

ExperimentId = Annotated[str, Path(max_length=200, examples=["exp_0193f2a1c4b27d1e9a4c3b2f"])]
_MEDIA_TYPES: dict[ReportFormat, str] = {
    "md": "text/markdown",
    "csv": "text/csv",
    "latex": "application/x-latex",
    "html": "text/html",
}


def _made(experiment: dict[str, str]) -> dict[str, str]:
    return {"Location": f"/v1/experiments/{experiment['id']}"}


def _state(experiment: Row, runs: list[Standing]) -> str:
    """Changes whenever the experiment or one of its runs does."""
    return weak_etag(experiment.id, experiment.version, [(run.run_id, run.version) for run in runs])


@router.post(
    "/experiments",
    operation_id="create_experiment",
    summary="Submit an experiment: its runs are planned and queued; or only say what they would be",
    status_code=201,
    response_model=Experiment,
    responses={
        200: {"model": ExperimentPlan, "description": "`validate_only`: nothing was stored"},
        **responses(413, 415),
    },
)
def create(
    database: Db,
    caller: CallerDep,
    body: Annotated[NewExperiment, examples.NEW_EXPERIMENT],
    key: IdempotencyKey = None,
    validate_only: Annotated[
        bool, Query(description="only say which runs there would be, and what they cost")
    ] = False,
) -> Response:
    if validate_only:
        with database.read() as session:
            return answer(experiments.validate(session, body.spec))
    done = answer_once(
        database,
        caller,
        key,
        ["POST", "/v1/experiments", body.model_dump()],
        lambda session: experiments.submit(session, body),
    )
    return answer(done.body, done.status, done.headers | _made(done.body))


@router.get(
    "/experiments",
    operation_id="list_experiments",
    summary="List experiments, the newest first",
    response_model=Page[Experiment],
    responses=NOT_MODIFIED,
)
def list_(
    request: Request,
    database: Db,
    q: Annotated[str | None, Query(max_length=200, description="words of name and notes")] = None,
    limit: Limit = 50,
    after: After = None,
) -> Response:
    behind = from_cursor(after)
    with database.read() as session:
        found = store.list_experiments(session, limit + 1, behind, q)
        standing = store.standings(session, [one.id for one in found])
    more, found = len(found) > limit, found[:limit]
    etag = weak_etag([_state(one, standing[one.id]) for one in found], more)
    unchanged = not_modified(request, etag)
    if unchanged:
        return unchanged
    views = [experiments.view_of(one, standing[one.id], with_cells=False) for one in found]
    next_ = to_cursor(found[-1].created_at, found[-1].id) if more else None
    return answer(page(views, more, next_), headers={"ETag": etag})


def _found(session: Session, experiment_id: str) -> tuple[Row, list[Standing], str]:
    experiment = store.get_experiment(session, experiment_id)
    if experiment is None:
        raise missing("experiment", experiment_id)
    runs = store.standings(session, [experiment_id])[experiment_id]
    return experiment, runs, _state(experiment, runs)


@router.get(
    "/experiments/{experiment_id}",
    operation_id="get_experiment",
    summary="Read an experiment with its cells and runs",
    response_model=Experiment,
    responses={**NOT_MODIFIED, **responses(404)},
)
def read(request: Request, database: Db, experiment_id: ExperimentId) -> Response:
    with database.read() as session:
        experiment, runs, state = _found(session, experiment_id)
    return not_modified(request, state) or answer(
        experiments.view_of(experiment, runs, with_cells=True), headers={"ETag": state}
    )


@router.get(
    "/experiments/{experiment_id}/summary",
    operation_id="experiment_summary",
    summary="The report: scores with intervals, tests against the baseline, costs, curves",
    response_model=ExperimentSummary,
    responses={
        200: {
            "description": "the summary, or with `format` the report as text",
            "content": {kind: {"schema": {"type": "string"}} for kind in _MEDIA_TYPES.values()},
        },
        **NOT_MODIFIED,
        **responses(404),
    },
)
def summary(
    request: Request,
    database: Db,
    experiment_id: ExperimentId,
    format_: Annotated[
        ReportFormat,
        Query(alias="format", description="CSV has a line for each method and measure"),
    ] = "json",
) -> Response:
    from entromask.analysis.report import render_report

    with database.read() as session:
        experiment, _, state = _found(session, experiment_id)
        etag = weak_etag(state, format_)
        unchanged = not_modified(request, etag)
        if unchanged:
            return unchanged
        found = request.app.state.summaries.of(session, experiment, state)
    headers = {"ETag": etag}
    if format_ == "json":
        return answer(found.model_dump(mode="json"), headers=headers)
    text = render_report(found, format_)
    if format_ == "html":
        # What is shown comes from users: it may not run anything, nor load anything.
        headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
        )
    return Response(text, media_type=f"{_MEDIA_TYPES[format_]}; charset=utf-8", headers=headers)


@router.post(
    "/experiments/{experiment_id}/extend",
    operation_id="extend_experiment",
    summary="Add seeds, methods or values of the matrix; what is there stays",
    response_model=Experiment,
    responses=responses(404, 413, 415),
)
def extend(
    database: Db,
    experiment_id: ExperimentId,
    body: Annotated[ExperimentExtension, examples.EXTENSION],
) -> Response:
    return answer(experiments.extend(database, experiment_id, body))


@router.post(
    "/experiments/{experiment_id}/cancel",
    operation_id="cancel_experiment",
    summary="Stop all of an experiment's runs that are not over; they write a checkpoint first",
    response_model=Experiment,
    responses=responses(404, 409),
)
def cancel(database: Db, experiment_id: ExperimentId) -> Response:
    return answer(experiments.cancel(database, experiment_id))


@router.post(
    "/experiments/{experiment_id}/retry",
    operation_id="retry_experiment",
    summary="Continue failed and cancelled runs, and make deleted ones again; the rest stays",
    response_model=Experiment,
    responses=responses(404, 409),
)
def retry(database: Db, experiment_id: ExperimentId) -> Response:
    return answer(experiments.retry(database, experiment_id))


@router.delete(
    "/experiments/{experiment_id}",
    operation_id="delete_experiment",
    summary="Delete an experiment that is over; its runs stay",
    status_code=204,
    response_class=Response,
    responses=responses(404, 409),
)
def delete(database: Db, experiment_id: ExperimentId) -> Response:
    experiments.delete(database, experiment_id)
    return Response(status_code=204)

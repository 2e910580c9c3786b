"""Models that specs and previews can name: finished runs, local folders, names on the Hub."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Response
from sqlalchemy.orm import Session

from backend.db.tables import Model as Row
from backend.dependencies import After, CallerDep, Db, IdempotencyKey, Limit, answer, api_router
from backend.idempotent import Answer, answer_once
from backend.model_check import check_hub_name, check_model_folder
from backend.paging import from_cursor, page, to_cursor
from backend.problems import ProblemError, missing, responses
from backend.routes import examples
from backend.store import models
from entromask.resources import Model, NewModel, Page

router = api_router("models")

ModelId = Annotated[str, Path(max_length=200, examples=["model_0193f2a1c4b27d1e9a4c3b2f"])]
_SHOWN = ("id", "name", "reference", "architecture", "created_at")


def view(row: Row) -> dict[str, Any]:
    """A model, as `resources.Model`."""
    return {"object": "model", **{name: getattr(row, name) for name in _SHOWN}}


@router.post(
    "/models",
    operation_id="create_model",
    summary="Register a local model folder or a name on the Hub; finished runs need no entry",
    status_code=201,
    response_model=Model,
    responses=responses(413, 415),
)
def create(
    database: Db,
    caller: CallerDep,
    body: Annotated[NewModel, examples.NEW_MODEL],
    key: IdempotencyKey = None,
) -> Response:
    done = answer_once(
        database,
        caller,
        key,
        ["POST", "/v1/models", body.model_dump()],
        lambda session: Answer(view(_register(session, body))),
    )
    location = {"Location": f"/v1/models/{done.body['id']}"}
    return answer(done.body, done.status, done.headers | location)


def _register(session: Session, body: NewModel) -> Row:
    if (body.path is None) == (body.hub is None):
        raise ProblemError(
            "invalid_request",
            "give exactly one of path and hub",
            "path: a model folder; hub: a name on the Hugging Face Hub",
            errors=[("", "give exactly one of path and hub")],
        )
    if body.path is not None:
        if body.revision is not None:
            sentence = "revision: goes with hub, not with path"
            raise ProblemError("invalid_request", sentence, errors=[("/revision", sentence)])
        folder, architecture = check_model_folder(body.path)
        name, reference = folder.name or str(folder), {"path": str(folder)}
    else:
        hub = str(body.hub)
        check_hub_name(hub, body.revision)
        name, reference, architecture = hub, {"hub": hub}, None
        if body.revision is not None:
            reference["revision"] = body.revision
    return models.create_model(
        session, name=body.name or name[:200], reference=reference, architecture=architecture
    )


@router.get(
    "/models",
    operation_id="list_models",
    summary="List models, the newest first: finished runs and registered ones",
    response_model=Page[Model],
)
def list_(database: Db, limit: Limit = 50, after: After = None) -> Response:
    behind = from_cursor(after)
    with database.read() as session:
        rows = models.list_models(session, limit + 1, behind)
    more, rows = len(rows) > limit, rows[:limit]
    next_ = to_cursor(rows[-1].created_at, rows[-1].id) if more else None
    return answer(page([view(row) for row in rows], more, next_))


@router.get(
    "/models/{model_id}",
    operation_id="get_model",
    summary="Read a model, by its id or by that of its run",
    response_model=Model,
    responses=responses(404),
)
def read(database: Db, model_id: ModelId) -> Response:
    with database.read() as session:
        row = models.get_model(session, model_id)
        if row is None:
            raise missing("model", model_id)
        return answer(view(row))


@router.delete(
    "/models/{model_id}",
    operation_id="delete_model",
    summary="Forget a registered model; its files stay where they are",
    status_code=204,
    response_class=Response,
    responses=responses(404, 409),
)
def delete(database: Db, model_id: ModelId) -> Response:
    with database.write() as session:
        row = models.get_model(session, model_id)
        if row is None:
            raise missing("model", model_id)
        if not models.is_registered(row):
            raise ProblemError(
                "in_use",
                f"the model {model_id} is that of a run, and goes with it",
                f"delete the run: DELETE /v1/runs/{model_id}",
            )
        models.delete_model(session, row)
    return Response(status_code=204)

"""Previews: a model's entropy in a text, asked of a worker of the preview queue."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from celery.result import denied_join_result
from fastapi import Response
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis import RedisError
from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool

from backend.db.engine import Database
from backend.dependencies import Db, answer, api_router
from backend.model_check import check_hub_name, check_model_folder
from backend.problems import ProblemError, pointer, responses
from backend.queue import PREVIEW, RUN_PREVIEW, celery
from backend.routes import examples
from backend.specs import check_path
from backend.store.ids import new_id
from backend.store.models import get_model
from backend.store.workers import list_workers
from entromask.errors import InputError
from entromask.modeling.sources import model_source
from entromask.resources import Preview, PreviewRequest
from entromask.settings import settings
from entromask.spec import ModelReference, run_folder
from entromask.spec_errors import problems

router = api_router("previews")

# The first preview of a model waits until it is loaded.
_SECONDS = 60.0
_FIRST_LOOK, _NEXT_LOOK = 0.01, 0.1


@router.post(
    "/previews",
    operation_id="create_preview",
    summary="Show a model's entropy and surprisal in a text, and what presets would mask",
    response_model=Preview,
    responses=responses(413, 415, 504),
)
async def create(database: Db, body: Annotated[PreviewRequest, examples.PREVIEW]) -> Response:
    await run_in_threadpool(_check, database, body)
    result = await _ask(body.model_dump())
    if "error" in result:
        raise _refused(result["error"])
    return answer({"object": "preview", **result})


def _check(database: Database, body: PreviewRequest) -> None:
    with database.read() as session:
        _check_model(session, body.model)
        found = list_workers(session, seen_within=2 * settings().lease_seconds)
    if not any(worker.queue == PREVIEW and not worker.stopping for worker, _ in found):
        raise ProblemError(
            "no_preview_worker",
            "no preview worker is running",
            "start one: python -m worker --queue preview; `entromask up` starts one too",
            headers={"Retry-After": "5"},
        )


def _check_model(session: Session, model: dict[str, Any]) -> None:
    try:
        reference = ModelReference.model_validate(model)
    except ValidationError as error:
        found = [(pointer(["model", *one.location]), one.sentence) for one in problems(error)]
        where, sentence = found[0]
        raise ProblemError(
            "invalid_request", f"{where[1:]}: {sentence}", "e.g. {run: ID}", errors=found
        ) from None
    if reference.path is not None:
        check_model_folder(reference.path, "/model/path")
    elif reference.hub is not None:
        check_hub_name(reference.hub, reference.revision, "/model")
    else:
        _check_run(session, reference, str(reference.run))


def _check_run(session: Session, reference: ModelReference, run: str) -> None:
    if reference.checkpoint is None and get_model(session, run) is not None:
        return
    key, hint = "run", "GET /v1/models lists those that have one"
    try:
        # It may be one that was made without the service, or be named by its folder.
        sentence = check_path(str(run_folder(run).absolute()))
    except (InputError, OSError, ValueError):
        sentence = f"no run '{run[:200]}'"
    if sentence is None:
        try:
            model_source(reference)
            return
        except InputError as error:
            sentence = error.message
        key = "run" if reference.checkpoint is None else "checkpoint"
        hint = (
            "{run: ID, checkpoint: STEP} names a checkpoint; GET /v1/runs/ID/artifacts lists the "
            "folders checkpoints/step-STEP"
        )
    raise ProblemError("invalid_model", sentence, hint, errors=[(f"/model/{key}", sentence)])


async def _ask(body: dict[str, Any]) -> dict[str, Any]:
    """The answer of a preview worker.

    Raises:
        ProblemError: the queue is away, or no answer came in time.
    """
    task_id, wait, until = new_id("preview"), _FIRST_LOOK, time.monotonic() + _SECONDS
    try:
        await run_in_threadpool(_send, task_id, body)
        while time.monotonic() < until:
            await asyncio.sleep(wait)
            wait = min(_NEXT_LOOK, wait * 1.5)
            meta = await run_in_threadpool(celery().backend.get_task_meta, task_id, cache=False)
            if meta["status"] == "SUCCESS":
                await run_in_threadpool(celery().backend.forget, task_id)
                return dict(meta["result"])
            if meta["status"] in ("FAILURE", "REVOKED"):
                raise ProblemError("internal", "the preview worker failed", "see its log")
    except (OperationalError, RedisError, OSError):
        raise ProblemError(
            "queue_unavailable",
            "the queue cannot be reached",
            "try again in a moment",
            headers={"Retry-After": "5"},
        ) from None
    raise ProblemError(
        "preview_timeout",
        f"no preview worker answered within {_SECONDS:.0f} s",
        "try a shorter text, or look whether the preview worker is busy: GET /v1/workers",
    )


def _send(task_id: str, body: dict[str, Any]) -> None:
    # Celery would subscribe to the answer, which its client does not do safely from several
    # threads; the answer is looked up instead.
    with denied_join_result():
        celery().send_task(
            RUN_PREVIEW, args=[body], task_id=task_id, queue=PREVIEW, expires=_SECONDS
        )


def _refused(error: dict[str, Any]) -> ProblemError:
    if error["code"] == "internal":
        return ProblemError("internal", error["message"], error.get("hint"))
    key = error.get("key")
    places = [(pointer(str(key).split(".")), error["message"])] if key else []
    return ProblemError("invalid_request", error["message"], error.get("hint"), errors=places)

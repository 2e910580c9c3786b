"""Corpora: uploaded, listed, read, deleted."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from backend import uploads
from backend.db.engine import Database
from backend.db.tables import Corpus as Row
from backend.dependencies import After, CallerDep, Db, IdempotencyKey, Limit, answer, api_router
from backend.idempotent import Answer, answer_once
from backend.paging import from_cursor, page, to_cursor
from backend.problems import ProblemError, responses
from backend.store import corpora
from backend.store.ids import new_id
from backend.upload_form import Upload
from entromask.resources import Corpus, Page
from entromask.settings import settings

router = api_router("corpora")

CorpusId = Annotated[str, Path(max_length=200, examples=["corpus_0193f2a1c4b27d1e9a4c3b2f"])]
_SHOWN = ("id", "name", "format", "size", "sha256", "created_at")
_NAME = {"type": "string", "minLength": 1, "maxLength": 200}
_FORM = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": {
            "type": "string",
            "format": "binary",
            "description": "a .txt, .jsonl, .json, .csv, .tsv or .parquet file, also .gz or .zst, "
            "in UTF-8",
        },
        "name": {**_NAME, "description": "shown in lists; default: the file's name"},
        "column": {
            **_NAME,
            "default": "text",
            "description": "the text column of all but .txt, nested as `a.b`; a spec names it too",
        },
    },
}
_BODY = {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}


def view(row: Row) -> dict[str, Any]:
    """A corpus, as `resources.Corpus`."""
    return {"object": "corpus", **{name: getattr(row, name) for name in _SHOWN}}


def remove_leftovers(database: Database) -> None:
    """Removes the files of uploads that a crash has cut off."""

    def is_stored(corpus_id: str) -> bool:
        with database.read() as session:
            return corpora.get_corpus(session, corpus_id) is not None

    uploads.remove_leftovers(is_stored)


@router.post(
    "/corpora",
    operation_id="create_corpus",
    summary="Upload a corpus; all of it is checked before it is stored",
    status_code=201,
    response_model=Corpus,
    responses=responses(413, 415),
    openapi_extra={"requestBody": _BODY},
)
async def create(
    request: Request, database: Db, caller: CallerDep, key: IdempotencyKey = None
) -> Response:
    limit = settings().upload_limit
    length = request.headers.get("content-length", "")
    stream = request.stream()
    try:
        with uploads.receiving(new_id("corpus")) as place:
            upload = await uploads.receive(
                stream,
                request.headers.get("content-type", ""),
                int(length) if length.isdecimal() else None,
                place.folder,
                limit,
            )
            await uploads.check_content(upload, limit)
            asked = [upload.client_name, upload.name, upload.column, upload.sha256]
            done = await run_in_threadpool(
                answer_once,
                database,
                caller,
                key,
                ["POST", "/v1/corpora", asked],
                lambda session: Answer(
                    view(_store(session, place.corpus_id, upload)), after_commit=place.keep
                ),
            )
    except ClientDisconnect:
        raise ProblemError("bad_request", "the client went away in the middle") from None
    except ProblemError:
        # A client that waits to be asked for its body has not sent any of it.
        if "expect" not in request.headers:
            await uploads.drain(stream)
        raise
    return answer(done.body, done.status, done.headers | {"Location": _address(done.body)})


def _store(session: Any, corpus_id: str, upload: Upload) -> Row:
    return corpora.create_corpus(
        session,
        corpus_id,
        name=upload.name,
        file=upload.file.name,
        format=upload.format,
        size=upload.size,
        sha256=upload.sha256,
    )


def _address(corpus: dict[str, Any]) -> str:
    return f"/v1/corpora/{corpus['id']}"


@router.get(
    "/corpora",
    operation_id="list_corpora",
    summary="List uploaded corpora, the newest first",
    response_model=Page[Corpus],
)
def list_(database: Db, limit: Limit = 50, after: After = None) -> Response:
    behind = from_cursor(after)
    with database.read() as session:
        rows = corpora.list_corpora(session, limit + 1, behind)
    more, rows = len(rows) > limit, rows[:limit]
    next_ = to_cursor(rows[-1].created_at, rows[-1].id) if more else None
    return answer(page([view(row) for row in rows], more, next_))


@router.get(
    "/corpora/{corpus_id}",
    operation_id="get_corpus",
    summary="Read an uploaded corpus",
    response_model=Corpus,
    responses=responses(404),
)
def read(database: Db, corpus_id: CorpusId) -> Response:
    with database.read() as session:
        return answer(view(_found(corpora.get_corpus(session, corpus_id), corpus_id)))


@router.delete(
    "/corpora/{corpus_id}",
    operation_id="delete_corpus",
    summary="Delete a corpus that no unfinished run needs; its files go to the trash",
    status_code=204,
    response_class=Response,
    responses=responses(404, 409),
)
def delete(database: Db, corpus_id: CorpusId) -> Response:
    with database.write() as session:
        row = _found(corpora.get_corpus(session, corpus_id, lock=True), corpus_id)
        needed = corpora.unfinished_runs_of(session, corpus_id)
        if needed:
            raise ProblemError(
                "in_use",
                f"the corpus {corpus_id} is needed by {', '.join(needed)}",
                "wait for these runs, or cancel them",
            )
        corpora.delete_corpus(session, row)
    uploads.move_to_trash(corpus_id)
    return Response(status_code=204)


def _found(row: Row | None, corpus_id: str) -> Row:
    if row is None:
        raise ProblemError(
            "not_found", f"no corpus '{corpus_id[:200]}'", "GET /v1/corpora lists them"
        )
    return row

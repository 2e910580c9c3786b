"""What routes ask for, as types; and the router that they are on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response, Security

from backend.auth import Caller, bearer
from backend.db.engine import Database
from backend.limits import StrictRoute
from backend.problems import responses

# A number that every database and every client can hold.
BIG = 2**53 - 1


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


Db = Annotated[Database, Depends(_database)]
CallerDep = Annotated[Caller, Depends(_caller)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        description="the same key and body again get the same answer, for 24 hours",
    ),
]
After = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=200, description="items of a page")]


def api_router(tag: str) -> APIRouter:
    """A router under /v1 whose errors are declared and whose bodies are read strictly."""
    return APIRouter(
        prefix="/v1",
        tags=[tag],
        route_class=StrictRoute,
        dependencies=[Security(bearer)],
        responses=responses(400, 401, 403, 422, 429, 500, 503),
    )


class Json(Response):
    """Plain data, sent without being validated again."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(
            content, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Json:
    """A JSON answer."""
    return Json(content, status, dict(headers) if headers else None)

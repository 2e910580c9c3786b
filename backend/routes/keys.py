"""The keys of the API, for its admins; `entromask keys` makes and revokes them."""

from __future__ import annotations

from typing import Any

from fastapi import Response

from backend.db.tables import ApiKey as Row
from backend.dependencies import Db, answer, api_router
from backend.paging import page
from backend.store.keys import list_keys
from entromask.resources import ApiKey, Page

router = api_router("keys")

_SHOWN = ("id", "name", "role", "prefix", "created_at", "used_at", "revoked_at")


def view(row: Row) -> dict[str, Any]:
    """A key, as `resources.ApiKey`: never its hash."""
    return {"object": "api_key", **{name: getattr(row, name) for name in _SHOWN}}


@router.get(
    "/keys",
    operation_id="list_api_keys",
    summary="List all API keys, also revoked ones; takes a key with the role admin",
    response_model=Page[ApiKey],
)
def list_(database: Db) -> Response:
    with database.read() as session:
        return answer(page([view(row) for row in list_keys(session)]))

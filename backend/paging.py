"""Pages of lists: opaque cursors, weak ETags, 304."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response

from backend.problems import ProblemError

_CHECK = 8


def to_cursor(created_at: float, id_: str) -> str:
    """The `after` that continues behind this item."""
    text = json.dumps([created_at, id_]).encode()
    return base64.urlsafe_b64encode(_sum(text) + text).decode().rstrip("=")


def from_cursor(cursor: str | None) -> tuple[float, str] | None:
    """The (created_at, id) in a cursor; None where there is none.

    Raises:
        ProblemError: not a cursor of this API.
    """
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        created_at, id_ = json.loads(raw[_CHECK:])
        # Made again it is another where anything was changed, the check sum included.
        if to_cursor(created_at, id_) != cursor:
            raise ValueError(cursor)
    except (ValueError, TypeError):
        raise ProblemError(
            "invalid_cursor",
            f"after: '{cursor[:100]}' is no cursor",
            "take `next` of the page before, as it is",
            errors=[("after", "is no cursor of this API")],
        ) from None
    return float(created_at), str(id_)


def _sum(text: bytes) -> bytes:
    # Not a secret: a cursor gives away nothing. It tells a damaged one from a whole one.
    return hashlib.sha256(b"entromask cursor " + text).digest()[:_CHECK]


def page(data: Sequence[Any], has_more: bool = False, next_: str | None = None) -> dict[str, Any]:
    """A list as the API sends it."""
    return {"object": "list", "data": list(data), "has_more": has_more, "next": next_}


def weak_etag(*parts: Any) -> str:
    """An ETag that changes whenever one of the parts does."""
    digest = hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:24]
    return f'W/"{digest}"'


def not_modified(request: Request, etag: str) -> Response | None:
    """A 304, if the client has this version already."""
    given = request.headers.get("if-none-match")
    if given is None:
        return None
    known = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    if given.strip() != "*" and etag.removeprefix("W/") not in known:
        return None
    return Response(status_code=304, headers={"ETag": etag})

"""Answers kept for POSTs that are sent twice: the second gets what the first got."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from backend.db.tables import Idempotency

KEPT_SECONDS = 24 * 3600


class KeyReusedError(Exception):
    """The same Idempotency-Key came with another request."""


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def find_answer(
    session: Session, key: str, owner: str, request: Any
) -> tuple[int, dict[str, Any]] | None:
    """The (status, body) that this request was answered with before.

    Raises:
        KeyReusedError: another request had this key.
    """
    kept = session.get(Idempotency, _digest(owner, key))
    if kept is None or kept.created_at < time.time() - KEPT_SECONDS:
        return None
    if kept.request != _digest(request):
        raise KeyReusedError(key)
    return kept.status, kept.body


def keep_answer(
    session: Session, key: str, owner: str, request: Any, status: int, body: dict[str, Any]
) -> None:
    """Keeps an answer, in the transaction of what it tells of.

    Raises:
        sqlalchemy.exc.IntegrityError: another transaction kept one meanwhile; begin anew.
    """
    now = time.time()
    session.execute(delete(Idempotency).where(Idempotency.created_at < now - KEPT_SECONDS))
    session.add(
        Idempotency(
            key=_digest(owner, key),
            request=_digest(request),
            status=status,
            body=body,
            created_at=now,
        )
    )
    session.flush()

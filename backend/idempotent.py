"""POSTs that may be sent twice: the second gets the answer that the first got."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from backend.auth import Caller
from backend.db.engine import Database
from backend.problems import ProblemError
from backend.store.idempotency import KeyReusedError, find_answer, keep_answer

_TRIES = 5


@dataclass
class Answer:
    """What a POST answers, and what is left to do.

    `before_commit` runs when the answer is sure to be the one that is kept; `after_commit` when
    it has been stored. Neither runs for an answer that is replayed.
    """

    body: dict[str, Any]
    status: int = 201
    before_commit: Callable[[], None] | None = None
    after_commit: Callable[[], None] | None = None
    replayed: bool = field(default=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"Idempotent-Replay": "true"} if self.replayed else {}


def answer_once(
    database: Database,
    caller: Caller,
    key: str | None,
    request: Any,
    make: Callable[[Session], Answer],
) -> Answer:
    """Does `make` in one transaction, once for each key.

    Args:
        key: the Idempotency-Key; without one nothing is kept.
        request: plain data that tells this request from others: method, address, body.

    Raises:
        ProblemError: another request had this key.
    """
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            done = _try(database, caller, key, request, make)
        except KeyReusedError:
            raise ProblemError(
                "idempotency_key_reused",
                f"the Idempotency-Key '{key}' came with another request before",
                "make a new key for every new request",
            ) from None
        except IntegrityError:
            # Another request with this key was faster: its answer is read in the next round.
            if last or key is None:
                raise
            continue
        if done.after_commit and not done.replayed:
            done.after_commit()
        return done
    raise AssertionError("the last round returns or raises")


def _try(
    database: Database,
    caller: Caller,
    key: str | None,
    request: Any,
    make: Callable[[Session], Answer],
) -> Answer:
    with database.write() as session:
        if key is not None and (kept := find_answer(session, key, caller.id, request)):
            status, body = kept
            return Answer(body, status, replayed=True)
        done = make(session)
        if key is not None:
            keep_answer(session, key, caller.id, request, done.status, done.body)
        if done.before_commit:
            done.before_commit()
        return done

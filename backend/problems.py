"""Every error of the API: problem+json (RFC 9457) with a code, a hint, pointers into the body."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from entromask.errors import DiskFullError, EntromaskError, InputError
from entromask.resources import Problem
from entromask.spec_errors import Location, SpecError

MEDIA_TYPE = "application/problem+json"

# What programs can rely on: code -> (status, title).
CODES: dict[str, tuple[int, str]] = {
    "bad_request": (400, "Bad request"),
    "invalid_json": (400, "Invalid JSON"),
    "invalid_cursor": (400, "Invalid cursor"),
    "host_not_allowed": (400, "Host not allowed"),
    "unauthorized": (401, "Unauthorized"),
    "forbidden": (403, "Forbidden"),
    "foreign_origin": (403, "Foreign origin"),
    "not_local": (403, "Not local"),
    "not_found": (404, "Not found"),
    "no_results": (404, "No results yet"),
    "method_not_allowed": (405, "Method not allowed"),
    "wrong_state": (409, "Wrong state"),
    "in_use": (409, "In use"),
    "body_too_large": (413, "Body too large"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "range_not_satisfiable": (416, "Range not satisfiable"),
    "invalid_request": (422, "Invalid request"),
    "invalid_spec": (422, "Invalid spec"),
    "invalid_corpus": (422, "Invalid corpus"),
    "corpus_inflates": (422, "Corpus inflates"),
    "invalid_model": (422, "Invalid model"),
    "idempotency_key_reused": (422, "Idempotency key reused"),
    "rate_limited": (429, "Too many requests"),
    "internal": (500, "Internal error"),
    "database_unavailable": (503, "Database unavailable"),
    "queue_unavailable": (503, "Queue unavailable"),
    "disk_full": (503, "Disk full"),
    "no_preview_worker": (503, "No preview worker"),
    "preview_timeout": (504, "Preview timeout"),
    "timeout": (504, "Timeout"),
}

# The code of an error of the framework, by its status.
_BY_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
_DATABASE_AWAY = (OperationalError, InterfaceError, PoolTimeoutError)


class ProblemError(HTTPException):
    """An answer that is an error; `code` is a row of `CODES`, or else a 422.

    Args:
        detail: one sentence that names the thing and its value.
        errors: (JSON pointer or parameter, sentence) of each thing that is wrong.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        hint: str | None = None,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        # A code that stands in no row refuses a part of the request.
        status, self.title = CODES.get(code, (422, code.replace("_", " ").capitalize()))
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code = code
        self.hint = hint
        self.errors = list(errors)

    def response(self) -> Response:
        body = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
            "hint": self.hint,
            "errors": [{"pointer": where, "detail": what} for where, what in self.errors],
        }
        return Response(
            json.dumps(body, ensure_ascii=True), self.status_code, self.headers, MEDIA_TYPE
        )


def pointer(location: Sequence[str | int]) -> str:
    """A JSON pointer (RFC 6901) from keys and places."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def spec_problem(error: SpecError, prefix: Location = ("spec",)) -> ProblemError:
    """A refused spec; its keys stand under `prefix` in the body."""
    errors = [(pointer((*prefix, *found.location)), found.sentence) for found in error.problems]
    return ProblemError("invalid_spec", error.message, error.hint, errors=errors)


def missing(kind: str, name: str) -> ProblemError:
    """There is no such thing."""
    return ProblemError("not_found", f"no {kind} '{name[:200]}'", f"GET /v1/{kind}s lists them")


def problem_of(error: Exception) -> ProblemError:
    """The answer to an exception; one that nobody expected is `internal`."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        code = _BY_STATUS.get(error.status_code, "bad_request")
        return ProblemError(code, str(error.detail), _hint(code), headers=error.headers)
    if isinstance(error, SpecError):
        return spec_problem(error)
    if isinstance(error, _DATABASE_AWAY):
        return ProblemError(
            "database_unavailable",
            "the database cannot be reached",
            "try again in a moment; nothing was changed",
            headers={"Retry-After": "2"},
        )
    if isinstance(error, DiskFullError):
        return ProblemError("disk_full", error.message, error.hint)
    if isinstance(error, InputError):
        return ProblemError("invalid_request", error.message, error.hint)
    return ProblemError("internal", "something went wrong on the server", None)


def _hint(code: str) -> str | None:
    if code in ("not_found", "method_not_allowed"):
        return "GET /openapi.json describes every address"
    return None


def _invalid(error: RequestValidationError) -> ProblemError:
    errors = []
    for raw in error.errors():
        place, *location = raw["loc"]
        where = pointer(location) if place == "body" else str(location[-1] if location else place)
        message = str(raw["msg"])
        errors.append((where, message[:1].lower() + message[1:]))
    first = f"{errors[0][0] or 'the body'}: {errors[0][1]}" if errors else "the request is invalid"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return ProblemError(
        "invalid_request", first + more, "GET /openapi.json describes every field", errors=errors
    )


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if not isinstance(error, ProblemError) and problem.code in ("not_found", "method_not_allowed"):
        problem.detail = f"there is no {request.method} {request.url.path[:200]}"
    return problem.response()


def install(app: FastAPI) -> None:
    """Answers every expected exception; the others are for `backend.observing`."""
    for kind in (HTTPException, RequestValidationError, EntromaskError, *_DATABASE_AWAY):
        app.add_exception_handler(kind, _answer)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declaration of error answers, for OpenAPI."""
    titles = {status: [t for s, t in CODES.values() if s == status] for status in statuses}
    return {
        status: {"description": " or ".join(titles[status]), "model": Problem}
        for status in statuses
    }

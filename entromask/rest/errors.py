"""What can go wrong between a client and the service."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
from pydantic import ValidationError

from entromask.errors import EntromaskError
from entromask.resources import Problem, ProblemEntry

# The request itself cannot be used: what the command line calls a usage error.
_USAGE = (400, 404, 413, 415, 422)


class ApiError(EntromaskError):
    """The service refused a request, or failed to do it.

    `status` is the HTTP status, `code` the word that programs can rely on, `errors` what is wrong
    with which part of the request.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        status: int,
        code: str,
        errors: Sequence[ProblemEntry] = (),
    ) -> None:
        super().__init__(message, hint)
        self.status, self.code, self.errors = status, code, list(errors)
        self.exit_code = 2 if status in _USAGE else 1

    @classmethod
    def of(cls, response: httpx.Response) -> ApiError:
        """The error that a response with a status from 400 on tells of; its body has been read."""
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            return cls(
                f"the service at {_base(response)} answered {response.status_code} "
                f"{response.reason_phrase}".rstrip(),
                "is that an Entromask service? ENTROMASK_API_URL says where it is",
                status=response.status_code,
                code="unknown",
            )
        return cls(
            _sentence(problem),
            _HINTS.get(response.status_code) or problem.hint,
            status=response.status_code,
            code=problem.code,
            errors=problem.errors,
        )


class UnreachableError(EntromaskError):
    """No service answers, or what answers is no Entromask service."""


# In the words of somebody who uses a client, not of one who writes requests.
_HINTS = {401: "set ENTROMASK_API_KEY to a key that `entromask keys create` printed"}


def refused(url: str) -> UnreachableError:
    return UnreachableError(
        f"no Entromask service answers at {url}",
        "start one with `entromask up`, or set ENTROMASK_API_URL to where it is",
    )


def foreign(url: str) -> UnreachableError:
    return UnreachableError(
        f"what answers at {url} is no Entromask service",
        "set ENTROMASK_API_URL to where it is",
    )


def _sentence(problem: Problem) -> str:
    """The detail, and each error with its place unless the detail says it already."""
    more = [
        f"{_place(entry.pointer)}: {entry.detail}".removeprefix(": ")
        for entry in problem.errors
        if entry.detail not in problem.detail
    ]
    return "; ".join([problem.detail.rstrip("."), *more]) if more else problem.detail


def _place(pointer: str) -> str:
    """`/spec/masking/rate` is `masking.rate`, as a user wrote it."""
    keys = [key.replace("~1", "/").replace("~0", "~") for key in pointer.lstrip("#/").split("/")]
    return ".".join(keys[1:] if keys[0] == "spec" else keys)


def _base(response: httpx.Response) -> str:
    url = response.request.url
    return f"{url.scheme}://{url.netloc.decode()}"

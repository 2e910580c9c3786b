"""What a client may send: how much, how deep, how often. JSON bodies are read strictly."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

from backend.problems import ProblemError
from entromask.errors import InputError
from entromask.text.unicode import replace_surrogates

JSON_LIMIT = 1_000_000
DEPTH_LIMIT = 40


class StrictRequest(Request):
    """A request whose JSON body is bounded, and holds nothing that a database cannot keep."""

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            ProblemError: larger than 1 MB, or not JSON by its Content-Type.
        """
        if not hasattr(self, "_body"):
            self._body = await self._bounded()
        if self._body:
            self._check_type()
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            # A preview is of any text; nothing of it is stored, and its model makes it Unicode.
            any_text = self.url.path.endswith("/previews")
            self._json = parse_json(await self.body(), any_text)
        return self._json

    async def _bounded(self) -> bytes:
        length = self.headers.get("content-length", "")
        if length.isdigit() and len(length) < 20 and int(length) > JSON_LIMIT:
            _too_large()
        chunks, size = [], 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > JSON_LIMIT:
                _too_large()
            chunks.append(chunk)
        return b"".join(chunks)

    def _check_type(self) -> None:
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise ProblemError(
                "unsupported_media_type",
                f"the body is of type '{kind[:100]}'; allowed: application/json",
                "send the header Content-Type: application/json",
            )


class StrictRoute(APIRoute):
    """A route that reads its JSON body strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strict


def _too_large() -> NoReturn:
    raise ProblemError(
        "body_too_large", f"the body has more than {JSON_LIMIT} bytes", "send less at once"
    )


def parse_json(body: bytes, any_text: bool = False) -> Any:
    """The value of a JSON body.

    Args:
        any_text: let halves of surrogate pairs pass.

    Raises:
        ProblemError: not UTF-8, not JSON, nested too deeply, or with NaN, infinities or characters
            that cannot be stored.
    """
    try:
        data = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise _invalid("the body is not UTF-8 text") from None
    except RecursionError:
        raise _too_deep() from None
    except json.JSONDecodeError as error:
        raise _invalid(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError:
        # Python refuses integers of thousands of digits.
        raise _invalid("the body holds a number with too many digits") from None
    _check_values(data, any_text)
    return data


def _check_values(data: Any, any_text: bool) -> None:
    level = [data]
    for _ in range(DEPTH_LIMIT):
        if not level:
            return
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
            else:
                _check_value(value, any_text)
        level = below
    raise _too_deep()


def _check_value(value: Any, any_text: bool) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _invalid("the body holds a number that is too large")
    if isinstance(value, str):
        if "\0" in value:
            raise _invalid("the body holds the character U+0000, which cannot be stored")
        if not any_text and replace_surrogates(value)[1]:
            raise _invalid("the body holds half of a surrogate pair, which is no character")


def _no_constant(name: str) -> NoReturn:
    raise _invalid(f"the body holds {name}, which is no JSON number")


def _invalid(detail: str) -> ProblemError:
    return ProblemError("invalid_json", detail, "send one JSON value in UTF-8")


def _too_deep() -> ProblemError:
    return _invalid(f"the body is nested more than {DEPTH_LIMIT} levels deep")


class RateLimits:
    """Counts the requests of each client in this process; `rule` such as 600/minute, 0 for none.

    Raises:
        InputError: the rule is of another form.
    """

    def __init__(self, rule: str) -> None:
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._item: RateLimitItem | None = None
        if rule.strip() == "0":
            return
        try:
            self._item = parse(rule)
        except ValueError:
            raise InputError(
                f"ENTROMASK_RATE_LIMIT is '{rule}'; allowed: such as 600/minute, or 0",
                "set it anew or leave it out",
            ) from None

    def count(self, client: str) -> None:
        """Counts one request.

        Raises:
            ProblemError: the client had its share; `Retry-After` says when to come back.
        """
        if self._item is None or self._limiter.hit(self._item, client):
            return
        reset = self._limiter.get_window_stats(self._item, client).reset_time
        wait = max(1, math.ceil(reset - time.time()))
        raise ProblemError(
            "rate_limited",
            f"more than {self._item} requests",
            f"wait {wait} s; ENTROMASK_RATE_LIMIT sets the limit",
            headers={"Retry-After": str(wait)},
        )

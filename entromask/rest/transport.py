"""Sends requests to the service; tries again what is worth it, with one idempotency key a call."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from entromask.rest.errors import ApiError, UnreachableError, foreign, refused

_BUSY = (429, 502, 503, 504)
# The waits between tries, in seconds, before chance takes up to half of each.
_WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
# Somebody who has not started the service yet wants to hear that soon.
_FIRST_WAITS = (0.2, 0.5)
_LONGEST_RETRY_AFTER = 60.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

Answer = TypeVar("Answer", bound=BaseModel)


class Transport:
    """A connection to the service at `url`. Times in seconds; `retry`: whether it tries again."""

    def __init__(self, url: str, key: str | None, timeout: float, retry: bool = True) -> None:
        self.url, self.retry = url.rstrip("/"), retry
        headers = {"Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            parts = urlsplit(self.url)
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(timeout, connect=min(timeout, 10.0)),
                # A proxy of the environment does not lead to this machine.
                trust_env=parts.hostname not in _LOOPBACK,
            )
        except (ValueError, httpx.InvalidURL):
            parts = urlsplit("")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UnreachableError(
                f"'{url}' is no URL of a service",
                "ENTROMASK_API_URL is of the form http://HOST:PORT",
            )
        self._met = False  # whether the service has ever answered

    def close(self) -> None:
        self._http.close()

    def get(self, kind: type[Answer], path: str, params: Mapping[str, Any] | None = None) -> Answer:
        return self.parse(kind, self.request("GET", path, params=_given(params)))

    def send(
        self,
        kind: type[Answer],
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A request with a JSON body."""
        given = {} if body is None else {"json": body}
        return self.parse(
            kind, self.request(method, path, params=_given(params), headers=headers, **given)
        )

    def delete(self, path: str) -> None:
        """Removes something; that it is gone after a lost answer is no error."""
        tries = 0

        def count() -> dict[str, Any]:
            nonlocal tries
            tries += 1
            return {}

        try:
            self.request("DELETE", path, prepare=count)
        except ApiError as error:
            if error.status != 404 or tries == 1:
                raise

    def request(
        self,
        method: str,
        path: str,
        *,
        prepare: Callable[[], dict[str, Any]] = dict,
        headers: Mapping[str, str] | None = None,
        **given: Any,
    ) -> httpx.Response:
        """The response to a request, its body read.

        Args:
            prepare: called before each try, for what can be sent only once.

        Raises:
            ApiError: the service refused it.
            UnreachableError: nothing answered, after all tries.
        """
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", uuid.uuid4().hex)
        waits: Iterator[float] | None = None
        while True:
            pause: float | None = None
            try:
                response = self._http.request(method, path, headers=sent, **given, **prepare())
                self._met = True
                if response.status_code < 400:
                    return response
                failure: Exception = ApiError.of(response)
                if response.status_code not in _BUSY:
                    raise failure
                pause = _retry_after(response)
            except httpx.TransportError as error:
                failure = self.translated(error)
            if waits is None:
                waits = self.waits()
            if (wait := next(waits, None)) is None:
                raise failure
            if pause is not None and pause > _LONGEST_RETRY_AFTER:
                raise failure
            time.sleep(pause if pause is not None else wait * random.uniform(0.5, 1.0))

    def waits(self) -> Iterator[float]:
        """The waits before each further try."""
        if not self.retry:
            return iter(())
        return iter(_WAITS if self._met else _FIRST_WAITS)

    @contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], timeout: float | None = None
    ) -> Iterator[httpx.Response]:
        """A response whose body has not been read; tried once. A status from 400 on raises."""
        patience = self._http.timeout if timeout is None else httpx.Timeout(timeout, connect=10.0)
        try:
            with self._http.stream(
                "GET", path, headers=dict(headers), timeout=patience
            ) as response:
                self._met = True
                if response.status_code >= 400:
                    response.read()
                    raise ApiError.of(response)
                yield response
        except httpx.TransportError as error:
            raise self.translated(error) from None

    def translated(self, error: httpx.TransportError) -> UnreachableError:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return refused(self.url)
        if isinstance(error, httpx.TimeoutException):
            return UnreachableError(
                f"the service at {self.url} did not answer in time", "is the machine very busy?"
            )
        words = str(error) or type(error).__name__
        return UnreachableError(
            f"the connection to {self.url} broke: {words}", "`entromask up` shows the API's log"
        )

    def parse(self, kind: type[Answer], response: httpx.Response) -> Answer:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError:
            raise foreign(self.url) from None


def _given(params: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (params or {}).items() if value is not None}


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, as our service says them; a date is for servers in between, and not waited for."""
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isdigit() else None

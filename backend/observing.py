"""Around every request: its id, its count and duration, and a clean answer to a crash."""

from __future__ import annotations

import logging
import secrets
import time

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.problems import problem_of

_log = logging.getLogger(__name__)


class Requests:
    """The counters of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.count = Counter(
            "entromask_requests",
            "Requests, by route, method and status",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "entromask_request_seconds",
            "Time to the first byte of the answer",
            ("route", "method"),
            registry=self.registry,
        )


class Observer:
    """The outermost layer. What nobody expected is logged with the request's id, and answered
    with that id and nothing else."""

    def __init__(self, app: ASGIApp, *, requests: Requests) -> None:
        self.app = app
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        begun, status = time.perf_counter(), 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                headers["X-Request-Id"] = request_id
                headers["X-Content-Type-Options"] = "nosniff"
                self._observe(scope, status, time.perf_counter() - begun)
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            _log.exception("request %s: %s %s", request_id, scope["method"], scope["path"])
            if status:  # the answer has begun: only an end of the connection says that it failed
                raise
            problem = problem_of(error)
            if problem.code == "internal":
                problem.hint = f"the server's log tells more under the request id {request_id}"
            await problem.response()(scope, receive, watched)

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.count.labels(route, method, str(status)).inc()
        self._requests.seconds.labels(route, method).observe(seconds)


_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")

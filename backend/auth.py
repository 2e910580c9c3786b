"""Who may ask: the Host and Origin of a request, its API key and what the key's role allows."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi.security import HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from backend.db.engine import Database
from backend.limits import RateLimits
from backend.problems import ProblemError, problem_of
from backend.store.keys import ROLES, find_key, note_use
from entromask.errors import InputError
from entromask.hosts import is_loopback
from entromask.settings import Settings

# Declares the key in OpenAPI; `Guard` is what asks for it.
bearer = HTTPBearer(auto_error=False, description="a key made by `entromask keys create`")

# How exactly it is kept when a key was used: not every request writes.
_NOTE_SECONDS = 60.0

# Health checks carry no key; the description of the API is no secret.
OPEN = ("/healthz", "/readyz", "/openapi.json")
READING = ("GET", "HEAD", "OPTIONS")
# Reading takes the role `read`, everything else `write`; and for some requests it is another.
NEEDED = {
    ("GET", "/v1/keys"): "admin",
    # Only its body is too long for an address.
    ("POST", "/v1/compare"): "read",
}


@dataclass(frozen=True)
class Caller:
    """Who sent a request: the id of a key, or `local`."""

    id: str
    role: str
    has_key: bool = False


LOCAL = Caller("local", "admin")


def check_exposure(settings: Settings) -> None:
    """Makes sure that an API without keys listens on this machine alone.

    Raises:
        InputError: it would listen to others.
    """
    if settings.auth == "off" and not is_loopback(settings.api_host):
        raise InputError(
            f"ENTROMASK_AUTH is 'off' and ENTROMASK_API_HOST is '{settings.api_host}'; without "
            "keys the API listens on a loopback address only",
            "set ENTROMASK_AUTH=keys and make a key with: entromask keys create",
        )


class Guard:
    """Lets a request pass, or answers it: host, origin, key, role, rate."""

    def __init__(self, app: ASGIApp, *, settings: Settings, limits: RateLimits) -> None:
        self.app = app
        self._keys = settings.auth == "keys"
        names = [name.strip().lower() for name in settings.allowed_hosts.split(",")]
        self._any_host = "*" in names
        self._hosts = frozenset(name for name in names if name and name != "*")
        self._limits = limits
        # When the use of a key was last noted.
        self._noted: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        try:
            self._check_text(scope)
            self._check_host(request)
            if not self._keys:
                self._check_local(request)
            caller = await self._caller(request)
            scope.setdefault("state", {})["caller"] = caller
        except Exception as error:
            problem = problem_of(error)
            if problem.code == "internal":
                raise
            await problem.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)
        if caller.has_key and self._is_to_be_noted(caller.id):
            # The answer is out: nobody waits for this.
            await run_in_threadpool(_note, request.app.state.database, caller.id)

    def _is_to_be_noted(self, key: str) -> bool:
        now = time.monotonic()
        if now - self._noted.get(key, -math.inf) < _NOTE_SECONDS:
            return False
        self._noted[key] = now
        return True

    @staticmethod
    def _check_text(scope: Scope) -> None:
        if "\0" in scope["path"] or b"%00" in scope.get("query_string", b""):
            raise ProblemError("bad_request", "the address holds the character U+0000")

    def _check_host(self, request: Request) -> None:
        host = _host_name(request.headers.get("host", ""))
        if not host or not (self._any_host or host in self._hosts):
            raise ProblemError(
                "host_not_allowed",
                f"the API does not answer to the host '{host[:200]}'",
                "add the name to ENTROMASK_ALLOWED_HOSTS",
            )

    def _check_local(self, request: Request) -> None:
        """Without keys only this machine is heard, and no web page of elsewhere."""
        client = request.client
        if client is not None and not is_loopback(client.host):
            raise ProblemError(
                "not_local",
                f"without keys the API hears this machine alone, not {client.host}",
                "set ENTROMASK_AUTH=keys and make a key with: entromask keys create",
            )
        origin = request.headers.get("origin")
        if origin is None:
            return
        host = _origin_host(origin)
        own = _host_name(request.headers.get("host", ""))
        if host not in self._hosts and not (self._any_host and host == own):
            raise ProblemError(
                "foreign_origin",
                f"a web page of '{origin[:200]}' may not use this API",
                "add its name to ENTROMASK_ALLOWED_HOSTS, or use keys",
            )

    async def _caller(self, request: Request) -> Caller:
        if request.url.path in OPEN:
            return Caller("anyone", "read")
        address = request.client.host if request.client else "local"
        if not self._keys:
            self._limits.count(address)
            return LOCAL
        try:
            caller = await self._by_key(request)
        except ProblemError:
            self._limits.count(address)
            raise
        self._limits.count(caller.id)
        need, what = _need(request)
        if ROLES.index(caller.role) < ROLES.index(need):
            raise ProblemError(
                "forbidden",
                f"the key has the role '{caller.role}', and {what} needs '{need}'",
                f"make one with: entromask keys create NAME --role {need}",
            )
        return caller

    async def _by_key(self, request: Request) -> Caller:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise _unauthorized("the request has no API key", "Bearer")
        database: Database = request.app.state.database
        caller = await run_in_threadpool(_find, database, secret.strip())
        if caller is None:
            raise _unauthorized("the API key is unknown or revoked", 'Bearer error="invalid_token"')
        return caller


def _need(request: Request) -> tuple[str, str]:
    """The role that a request takes, and what of it takes that role."""
    method, path = request.method, request.url.path
    if (method, path) in NEEDED:
        return NEEDED[method, path], f"{method} {path}"
    return ("read" if method in READING else "write"), method


def _find(database: Database, secret: str) -> Caller | None:
    with database.read() as session:
        key = find_key(session, secret)
        return Caller(key.id, key.role, has_key=True) if key else None


def _note(database: Database, key: str) -> None:
    """Remembers that a key was used; a disk that is full keeps nobody from reading."""
    with suppress(SQLAlchemyError), database.write() as session:
        note_use(session, key)


def _unauthorized(detail: str, challenge: str) -> ProblemError:
    return ProblemError(
        "unauthorized",
        detail,
        "send the header Authorization: Bearer KEY; entromask keys create makes one",
        headers={"WWW-Authenticate": challenge},
    )


def _host_name(host: str) -> str:
    """Without its port; the brackets of an IPv6 address stay."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower().rstrip(".")


def _origin_host(origin: str) -> str:
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return ""
    return f"[{host}]" if ":" in host else host

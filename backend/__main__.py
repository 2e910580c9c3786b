"""`python -m backend`: the API on settings().api_host and api_port, until it is told to stop."""

from __future__ import annotations

import socket
import sys
from types import FrameType

import uvicorn
from sqlalchemy.exc import OperationalError

from backend.app import create_app, prepare
from backend.auth import check_exposure
from backend.db.engine import Database
from entromask.errors import EntromaskError, InputError
from entromask.settings import Settings, settings

# What an open stream has to end by itself once the server is told to stop.
_GRACE_SECONDS = 5


class Server(uvicorn.Server):
    """Tells the streams to end as soon as a signal comes: the server waits for them."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        app = self.config.app
        app.state.stopping.set()  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


def listen(host: str, port: int) -> socket.socket:
    """A socket on the API's address.

    Raises:
        InputError: the port is taken, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Its connections inherit it. Without it a short answer waits 40 ms for an acknowledgement;
    # asyncio would set it, but only on sockets that were made with the protocol named.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((host.strip("[]"), port))
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise InputError(
            f"the API cannot listen on port {port} of {host}: {error.strerror}",
            "free the port, or set ENTROMASK_API_PORT (and ENTROMASK_API_HOST)",
        ) from None
    return listening


def _check_database(settings: Settings) -> None:
    database = Database(settings.database)
    try:
        prepare(database)
    except OperationalError as error:
        reason = " ".join(str(error.orig).split())[:300]
        raise EntromaskError(
            f"the database cannot be reached: {reason}", "see ENTROMASK_DATABASE_URL"
        ) from None
    finally:
        database.close()


def main() -> None:
    """The command: exit code 1 or 2 with one sentence where the API cannot start."""
    try:
        check_exposure(settings())
        _check_database(settings())
        app = create_app()
        listening = listen(settings().api_host, settings().api_port)
    except EntromaskError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
    config = uvicorn.Config(
        app,
        lifespan="on",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    print(f"the API listens on http://{settings().api_host}:{settings().api_port}", flush=True)
    Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()

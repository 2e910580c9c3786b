"""Whether a port is free, asked before anything is started."""

from __future__ import annotations

import errno
import socket

from entromask.errors import EntromaskError, InputError


def check_free(host: str, port: int, setting: str) -> None:
    """Makes sure that a server could listen there.

    Args:
        setting: the variable that names the port.

    Raises:
        EntromaskError: another process listens there.
        InputError: this machine has no such address, or the port is not for us.
    """
    family, kind, protocol, _, address = _address(host, port, setting)
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise EntromaskError(
                    f"port {port} of {host} is taken by another program",
                    f"choose another one, for example {setting}={_another(host, port, setting)}",
                ) from None
            raise InputError(
                f"nothing can listen on port {port} of {host}: {error.strerror}",
                f"set {setting} to a port from 1024 to 65535, and {_host(setting)} to an "
                "address of this machine",
            ) from None


def _host(setting: str) -> str:
    """The variable beside the one that names the port."""
    return setting.replace("_PORT", "_HOST")


def _address(host: str, port: int, setting: str) -> tuple[int, int, int, str, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        raise InputError(
            f"{_host(setting)} '{host}' is no address of this machine",
            "127.0.0.1 for this machine alone, 0.0.0.0 for others too",
        ) from None
    return found[0]


def _another(host: str, port: int, setting: str) -> int:
    """A free port nearby."""
    for candidate in range(port + 1, min(port + 100, 65536)):
        family, kind, protocol, _, address = _address(host, candidate, setting)
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind(address)
            except OSError:
                continue
            return candidate
    return 0

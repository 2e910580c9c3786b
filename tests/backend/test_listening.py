"""The socket that the API listens on."""

from __future__ import annotations

import socket

from backend.__main__ import listen


def test_connections_send_short_answers_at_once() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

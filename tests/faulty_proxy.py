"""A proxy that breaks as networks and servers break, in front of the real API."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_HOP = ("connection", "transfer-encoding", "content-length", "host", "accept-encoding")


class FaultyProxy:
    """Each request takes the next fault of `faults`, if one is left.

    "503", "429": answered so, never forwarded; "lost": forwarded, and the answer thrown away;
    "cut:N": the connection ends after N bytes of the body; "html": a page instead of the API;
    "unsized": the answer does not say how long it is.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.faults: list[str] = []
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _any(self) -> None:
                proxy.handle(self)

            do_GET = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        length = int(request.headers.get("content-length") or 0)
        body = request.rfile.read(length)
        if request.headers.get("transfer-encoding") == "chunked":
            body = _chunks(request)
        headers = {key.lower(): value for key, value in request.headers.items()}
        self.seen.append((request.command, request.path, headers))
        fault = self.faults.pop(0) if self.faults else ""
        if fault in ("503", "429"):
            request.send_response(int(fault))
            if fault == "429":
                request.send_header("Retry-After", "1")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        if fault == "html":
            page = b"<html>welcome</html>"
            request.send_response(200)
            request.send_header("Content-Length", str(len(page)))
            request.end_headers()
            request.wfile.write(page)
            return
        self._forward(request, body, headers, fault)

    def _forward(
        self, request: BaseHTTPRequestHandler, body: bytes, headers: dict[str, str], fault: str
    ) -> None:
        sent = {key: value for key, value in headers.items() if key not in _HOP}
        request.close_connection = True
        try:
            with httpx.stream(
                request.command,
                self.target + request.path,
                content=body,
                headers=sent | {"accept-encoding": "identity"},
                timeout=60,
                trust_env=False,
            ) as answer:
                if fault == "lost":
                    answer.read()
                    return
                request.send_response(answer.status_code)
                left_out = ["connection", "transfer-encoding", "date", "server"]
                left_out += ["content-length"] if fault == "unsized" else []
                for key, value in answer.headers.items():
                    if key not in left_out:
                        request.send_header(key, value)
                request.send_header("Connection", "close")
                request.end_headers()
                left = int(fault.removeprefix("cut:")) if fault.startswith("cut:") else None
                for chunk in answer.iter_raw():
                    request.wfile.write(chunk if left is None else chunk[:left])
                    request.wfile.flush()
                    if left is not None:
                        left -= min(left, len(chunk))
                        if not left:
                            return
        except (httpx.TransportError, OSError):
            return  # either side went away: so does this connection


def _chunks(request: BaseHTTPRequestHandler) -> bytes:
    body = b""
    while size := int(request.rfile.readline(), 16):
        body += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return body


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(target)
    thread = threading.Thread(target=proxy.server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        thread.join()
        proxy.server.server_close()

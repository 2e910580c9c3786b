"""A Hub on this machine: the part of its HTTP interface that the real clients ask for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class FakeHub:
    """Repositories by (kind, name), kind models or datasets; each is a folder at one commit."""

    repositories: dict[tuple[str, str], Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def commit(self, kind: str, name: str) -> str:
        parts = [
            (f, (self.repositories[kind, name] / f).read_bytes()) for f in self.files(kind, name)
        ]
        return hashlib.sha1(repr(parts).encode()).hexdigest()

    def files(self, kind: str, name: str) -> list[str]:
        folder = self.repositories[kind, name]
        return sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())

    @contextmanager
    def serving(self) -> Iterator[FakeHub]:
        hub = self

        class Handler(_Handler):
            repositories = hub

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    repositories: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer_get()

    def do_GET(self) -> None:
        self._answer_get()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path
        self.repositories.asked.append(f"POST {path}")
        kind, name, what, _ = self._place(path)
        if what != "paths-info":
            return self._missing("EntryNotFound")
        if self.headers.get("Content-Type", "").startswith("application/json"):
            wanted = json.loads(body)["paths"]
        else:
            wanted = parse_qs(body.decode())["paths"]
        return self._json(
            [one for one in self._tree(kind, name, "", True) if one["path"] in wanted]
        )

    def _place(self, path: str) -> tuple[str, str, str, str]:
        """Kind, name, what is asked, and the rest of a path.

        /api/KIND/A/B[/WHAT[/COMMIT/REST]], /A/B/resolve/COMMIT/REST, /datasets/A/B/resolve/...
        """
        parts = [unquote(part) for part in path.strip("/").split("/")]
        if parts[0] == "api":
            kind, a, b, *rest = parts[1:]
        elif parts[0] == "datasets":
            kind, a, b, *rest = parts
        else:
            kind, (a, b, *rest) = "models", parts
        return kind, f"{a}/{b}", rest[0] if rest else "", "/".join(rest[2:])

    def _answer_get(self) -> None:
        split = urlsplit(self.path)
        self.repositories.asked.append(f"{self.command} {split.path}")
        try:
            kind, name, what, rest = self._place(split.path)
        except ValueError:
            return self._missing("EntryNotFound")
        hub = self.repositories
        if (kind, name) not in hub.repositories:
            return self._missing("RepoNotFound")
        if what in ("", "revision"):
            siblings = [{"rfilename": file} for file in hub.files(kind, name)]
            sha = hub.commit(kind, name)
            return self._json({"id": name, "sha": sha, "siblings": siblings, "tags": []})
        if what == "tree":
            deep = parse_qs(split.query).get("recursive", ["False"])[0].lower() in ("true", "1")
            entries = self._tree(kind, name, rest, deep)
            return self._json(entries) if entries else self._missing("EntryNotFound")
        if what == "resolve" and rest in hub.files(kind, name):
            return self._file(kind, name, rest)
        return self._missing("EntryNotFound", hub.commit(kind, name))

    def _tree(self, kind: str, name: str, folder: str, deep: bool) -> list[dict[str, Any]]:
        root, entries = self.repositories.repositories[kind, name], {}
        for file in self.repositories.files(kind, name):
            if folder and not file.startswith(folder + "/"):
                continue
            inside = file[len(folder) + 1 :] if folder else file
            parts = inside.split("/")
            for depth in range(1, len(parts)):
                path = "/".join([*([folder] if folder else []), *parts[:depth]])
                if deep or depth == 1:
                    entries[path] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
            if deep or len(parts) == 1:
                content = (root / file).read_bytes()
                oid = hashlib.sha1(content).hexdigest()
                entries[file] = {"type": "file", "oid": oid, "size": len(content), "path": file}
        return list(entries.values())

    def _file(self, kind: str, name: str, file: str) -> None:
        content = (self.repositories.repositories[kind, name] / file).read_bytes()
        headers = {
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "X-Repo-Commit": self.repositories.commit(kind, name),
            "Content-Type": "application/octet-stream",
        }
        self._send(200, content, headers)

    def _json(self, data: Any) -> None:
        self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

    def _missing(self, code: str, commit: str = "") -> None:
        headers = {"X-Error-Code": code} | ({"X-Repo-Commit": commit} if commit else {})
        self._send(404, b"{}", headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

"""A Hub on this machine: the part of its HTTP interface that the real clients ask for."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml


@dataclass
class FakeHub:
    """Repositories by (kind, name), kind models or datasets; each is a folder at one commit.

    A branch beside main is a repository called NAME@BRANCH. `writers` are the namespaces that a
    token may write to; `root` is where new repositories go.
    """

    repositories: dict[tuple[str, str], Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0
    root: Path = Path()
    writers: dict[str, str] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    large: dict[str, bytes] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def make(self, kind: str, name: str, source: Path | None = None) -> None:
        """A new repository, empty or with the files of another one."""
        folder = self.root / f"{kind}-{name.replace('/', '-')}"
        if source is None:
            folder.mkdir()
        else:
            shutil.copytree(source, folder)
        self.repositories[kind, name] = folder

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
        body = self._body()
        path = urlsplit(self.path).path
        self.repositories.asked.append(f"POST {path}")
        if path == "/api/validate-yaml":
            return self._validate(json.loads(body)["content"])
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.startswith("/verify/"):
            return self._json({})
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        kind, name, what, _ = self._place(path)
        if what in ("branch", "preupload", "commit"):
            return self._write(kind, name, what, path.split("/")[-1], body)
        if what != "paths-info":
            return self._missing("EntryNotFound")
        if self.headers.get("Content-Type", "").startswith("application/json"):
            wanted = json.loads(body)["paths"]
        else:
            wanted = parse_qs(body.decode())["paths"]
        return self._json(
            [one for one in self._tree(kind, name, "", True) if one["path"] in wanted]
        )

    def do_PUT(self) -> None:
        body, oid = self._body(), self.path.rpartition("/")[2]
        self.repositories.asked.append("PUT large file")
        if hashlib.sha256(body).hexdigest() != oid:
            return self._send(400, b"{}", {})
        self.repositories.large[oid] = body
        return self._send(200, b"", {})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _may_write(self, namespace: str) -> bool:
        """Whether the token is one, and may; else the refusal has been sent."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        allowed = self.repositories.writers.get(token)
        if allowed == namespace:
            return True
        self._send(401 if allowed is None else 403, b'{"error": "no"}', {})
        return False

    def _validate(self, card: str) -> None:
        """As strict as the Hub in what matters here: metadata in YAML, whole results."""
        errors = []
        data = yaml.safe_load(card.split("---")[1])
        for model in data.get("model-index", ()):
            for result in model["results"]:
                complete = (
                    result["task"]["type"]
                    and result["dataset"]["type"]
                    and all(
                        one["type"] and isinstance(one["value"], float) for one in result["metrics"]
                    )
                )
                if not (complete and result["dataset"]["name"]):
                    errors.append({"message": "model-index"})
        return self._json({"errors": errors, "warnings": []})

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted['organization']}/{wanted['name']}"
        if not self._may_write(wanted["organization"]):
            return None
        url = {"url": f"{self.repositories.endpoint}/{name}"}
        if ("models", name) in self.repositories.repositories:
            content = json.dumps(url | {"error": "exists"}).encode()
            return self._send(409, content, {"Content-Type": "application/json"})
        self.repositories.make("models", name)
        if wanted.get("private") or wanted.get("visibility") == "private":
            self.repositories.private.add(name)
        return self._json(url)

    def _batch(self, wanted: dict[str, Any]) -> None:
        base = self.repositories.endpoint
        objects = [
            one
            | {
                "actions": {
                    "upload": {"href": f"{base}/large/{one['oid']}"},
                    "verify": {"href": f"{base}/verify/{one['oid']}"},
                }
            }
            for one in wanted["objects"]
        ]
        return self._json({"transfer": "basic", "objects": objects})

    def _write(self, kind: str, name: str, what: str, revision: str, body: bytes) -> None:
        hub = self.repositories
        if not self._may_write(name.partition("/")[0]):
            return None
        if what == "branch":
            hub.make(kind, f"{name}@{revision}", hub.repositories[kind, name])
            return self._json({})
        if what == "preupload":
            files = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        folder = hub.repositories[kind, name if revision == "main" else f"{name}@{revision}"]
        for line in body.splitlines():
            one = json.loads(line)
            value = one["value"]
            if one["key"] == "file":
                (folder / value["path"]).write_bytes(base64.b64decode(value["content"]))
            elif one["key"] == "lfsFile":
                (folder / value["path"]).write_bytes(hub.large[value["oid"]])
            elif one["key"] == "deletedFile":
                (folder / value["path"]).unlink()
        commit = hub.commit(kind, name)
        url = f"{hub.endpoint}/{name}/commit/{commit}"
        return self._json({"success": True, "commitOid": commit, "commitUrl": url})

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
        revision = split.path.split("/")[6:7] if what == "tree" else []
        if revision and (kind, f"{name}@{unquote(revision[0])}") in hub.repositories:
            name = f"{name}@{unquote(revision[0])}"
        if (kind, name) not in hub.repositories:
            return self._missing("RepoNotFound")
        if what in ("", "revision"):
            siblings = [{"rfilename": file} for file in hub.files(kind, name)]
            sha = hub.commit(kind, name)
            return self._json({"id": name, "sha": sha, "siblings": siblings, "tags": []})
        if what == "tree":
            deep = parse_qs(split.query).get("recursive", ["False"])[0].lower() in ("true", "1")
            entries = self._tree(kind, name, rest, deep)
            if entries or not rest:
                return self._json(entries)
            return self._missing("EntryNotFound")
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

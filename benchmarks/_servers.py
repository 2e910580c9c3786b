"""The servers that are compared, each in an environment and a folder of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[1]
MLFLOW = "3.17.2"
# Where its environment is kept.
CACHE = Path.home() / ".cache" / "entromask-benchmarks"


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


@contextmanager
def served(
    command: list[str], url: str, folder: Path, **environment: str
) -> Iterator[httpx.Client]:
    """Runs a server until the end of the body; yields a client once the server answers."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:
        _wait(url, process, folder / "server.log")
        with httpx.Client(base_url=httpx.URL(url).join("/"), timeout=120) as client:
            yield client
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"no answer from {url}:\n{log.read_text(encoding='utf-8')[-2000:]}")


@contextmanager
def entromask_server(folder: Path) -> Iterator[httpx.Client]:
    port = free_port()
    command = [sys.executable, "-m", "backend"]
    url = f"http://127.0.0.1:{port}/healthz"
    settings = {
        "ENTROMASK_HOME": str(folder),
        "ENTROMASK_API_PORT": str(port),
        "ENTROMASK_RATE_LIMIT": "0",
    }
    with served(command, url, folder, **settings) as client:
        yield client


@contextmanager
def dashboard_server(folder: Path, api: httpx.Client) -> Iterator[httpx.Client]:
    """Our dashboard over our API."""
    port = free_port()
    command = [sys.executable, "-m", "frontend"]
    settings = {
        "ENTROMASK_HOME": str(folder),
        "ENTROMASK_API_URL": str(api.base_url),
        "ENTROMASK_DASHBOARD_PORT": str(port),
    }
    with served(command, f"http://127.0.0.1:{port}/_stcore/health", folder, **settings) as client:
        yield client


def mlflow_python(cache: Path) -> Path:
    """The interpreter of an environment with MLflow alone; made once."""
    folder = cache / f"mlflow-{MLFLOW}"
    python = folder / "bin" / "python"
    if not (folder / "ready").is_file():
        uv = ROOT / ".venv" / "bin" / "uv"
        subprocess.run(
            [uv, "venv", "-q", "--clear", "--python", sys.executable, folder], check=True
        )
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", python, f"mlflow=={MLFLOW}"], check=True
        )
        (folder / "ready").touch()
    return python


@contextmanager
def mlflow_server(
    folder: Path, python: Path, runs: int, description: dict[str, Any]
) -> Iterator[tuple[httpx.Client, str]]:
    """A tracking server on SQLite with its defaults, filled; also one run's id."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    (folder / "description.json").write_text(json.dumps(description), encoding="utf-8")
    filled = subprocess.run(
        [
            python,
            ROOT / "benchmarks" / "_fill_mlflow.py",
            uri,
            str(runs),
            folder / "description.json",
        ],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    port = free_port()
    command = [str(python.with_name("mlflow")), "server", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # `mlflow server` starts its own helpers by name.
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    with served(command, f"http://127.0.0.1:{port}/health", folder, **environment) as client:
        yield client, filled.stdout.split()[-1]

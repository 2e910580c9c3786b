"""`entromask up`, from the lock on ENTROMASK_HOME to the last process that has ended."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

import httpx

from entromask.embedded_redis import EmbeddedRedis
from entromask.errors import EntromaskError
from entromask.hosts import local_url
from entromask.settings import Settings
from entromask.stack import marks
from entromask.stack.home import Home
from entromask.stack.logs import LogTail
from entromask.stack.part import Part, Running
from entromask.stack.parts import MIGRATE, REDIS, SHORT, check_installed, parts
from entromask.stack.ports import check_free
from entromask.stack.supervisor import Supervisor

# Importing torch on a busy machine takes its time.
_START = 180.0
_LOOK = 0.1
# What Redis has to write its file.
_REDIS_PATIENCE = 20.0
_DEFAULT_PORT = 8000


class _StoppedError(Exception):
    """The user wants it to end."""


class _Signals:
    """How often the user has asked to stop: the first time in order, the second at once."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, number: int, frame: object) -> None:
        self.asked += 1

    def hurry(self) -> bool:
        return self.asked > 1

    def check(self) -> None:
        if self.asked:
            raise _StoppedError

    @contextmanager
    def caught(self) -> Iterator[None]:
        numbers = [signal.SIGINT, signal.SIGTERM]
        # Under nohup the service outlives the terminal.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def up(here: Settings, workers: int | None, out: TextIO) -> None:
    """Runs the whole service until SIGINT or SIGTERM; afterwards no process of it is left.

    Raises:
        DependencyMissingError: a package is not installed.
        InputError: ENTROMASK_HOME cannot be written to, or a setting cannot be used.
        EntromaskError: another `up` runs, a port is taken, or a part does not start.
    """
    check_installed()
    stop = _Signals()
    with stop.caught(), Home(here.root, local_url(here.api_host, here.api_port)) as home:
        _clean_up(home, here, stop, out)
        check_free(here.api_host, here.api_port, "ENTROMASK_API_PORT")
        check_free(here.dashboard_host, here.dashboard_port, "ENTROMASK_DASHBOARD_PORT")
        service = _Service(here, home, workers, stop, out)
        home.record({})
        try:
            service.run()
        except _StoppedError:
            pass
        finally:
            service.stop()
            home.forget()


def _clean_up(home: Home, here: Settings, stop: _Signals, out: TextIO) -> None:
    """Ends what is left over from an `up` that was killed."""
    if home.earlier is None:
        return
    left = len(marks.marked(f"{home.earlier}/"))
    if left:
        print(f"Ending {left} processes of an earlier `entromask up` that was killed", file=out)
        marks.end(f"{home.earlier}/", here.grace_seconds, hurry=lambda: stop.asked > 0)
        stop.check()
    marks.end_recorded(home.earlier_parts, _REDIS_PATIENCE)


class _Service:
    def __init__(
        self, here: Settings, home: Home, workers: int | None, stop: _Signals, out: TextIO
    ) -> None:
        self.here, self.home, self.stopping, self.out = here, home, stop, out
        self.redis = self._redis() if here.redis_url is None else None
        self.parts = parts(here, workers)
        every = [*([self.redis[1]] if self.redis else []), MIGRATE, *self.parts]
        here.logs.mkdir(parents=True, exist_ok=True)
        self.tail = LogTail({part.name: here.logs / f"{part.name}.log" for part in every}, out)
        self.supervisor = Supervisor(here.logs, home.token, self.tail.say, home.record)

    def _redis(self) -> tuple[EmbeddedRedis, Part]:
        folder = self.here.root / "redis"
        folder.mkdir(parents=True, exist_ok=True)
        redis = EmbeddedRedis(self.here.redis_socket, folder, self.here.logs / "redis.log")
        return redis, Part("redis", tuple(redis.command()), REDIS, SHORT)

    def run(self) -> None:
        self.tail.start()
        begin = time.time()
        if self.redis is not None:
            redis, part = self.redis
            self.supervisor.start(part)
            self._wait(redis.ready, "Redis")
        self._migrate()
        for part in self.parts:
            self.supervisor.start(part)
        with httpx.Client(base_url=self.home.url, timeout=5, trust_env=False) as http:
            self._wait(lambda: _answers(http, "/readyz"), "the API")
            wanted = sum(part.command[-2:-1] == ("--queue",) for part in self.parts)
            self._wait(lambda: self._workers(http, begin) >= wanted, "the workers")
            health = f"{self.here.dashboard}/_stcore/health"
            self._wait(lambda: _answers(http, health), "the dashboard")
        self.supervisor.ready = True
        self._greet()
        while True:
            self._tend()

    def stop(self) -> None:
        """Ends all, in reverse order; a second signal while it lasts makes it quick."""
        if self.supervisor.running:
            self.tail.say("up", "stopping; once more Ctrl-C kills")
        self.supervisor.stop(self.stopping.hurry)
        self.tail.stop()

    def _tend(self) -> None:
        self.stopping.check()
        self.supervisor.tend()
        time.sleep(_LOOK)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _START
        while not done():
            self._tend()
            if time.monotonic() > deadline:
                raise EntromaskError(
                    f"{what} did not come up within {_START:g} s", f"see {self.here.logs}"
                )

    def _migrate(self) -> None:
        """Brings the database up to date: a part that is meant to end."""
        running = Running(MIGRATE, self.home.token, self.here.logs)
        try:
            while running.alive:
                self._tend()
        finally:
            running.kill()
        if running.process.returncode != 0:
            raise EntromaskError(
                f"the database could not be prepared: {running.how_it_ended()}",
                f"its last lines are in {running.log}",
            )

    def _workers(self, http: httpx.Client, begin: float) -> int:
        """How many workers that were started here have reported to the API."""
        key = self.here.api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            answer = http.get("/v1/workers", headers=headers)
        except httpx.TransportError:
            return 0
        if answer.status_code in (401, 403):
            return sys.maxsize  # without a key they cannot be asked for
        if answer.status_code != 200:
            return 0
        # A worker of before says so until its row is removed.
        found = [one for one in answer.json()["data"] if one["started_at"] >= begin - 1]
        return sum(one["status"] != "starting" for one in found)

    def _greet(self) -> None:
        url = self.home.url
        elsewhere = self.here.api_port != _DEFAULT_PORT or "//127.0.0.1:" not in url
        setting = f"ENTROMASK_API_URL={url} " if elsewhere else ""
        train = sum(part.command[-1] == "train" for part in self.parts)
        workers = "1 worker" if train == 1 else f"{train} workers"
        lines = (
            "",
            f"Entromask is ready: {self.here.dashboard} (API {url}), {workers}, "
            f"everything in {self.here.root}",
            "In another terminal:",
            f"  {setting}entromask submit examples/quick.yaml --follow",
            "Ctrl-C stops all of it.",
            "",
        )
        self.tail.print(lines)


def _answers(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.TransportError:
        return False

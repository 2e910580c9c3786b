"""Starts the parts in their order, starts again what dies, and stops all in reverse."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path

from entromask.errors import EntromaskError
from entromask.stack import marks
from entromask.stack.part import Part, Running

# A part that dies as often before the service is ready will not come up at all.
_TRIES = 3
_USAGE = 2


class Supervisor:
    """The parts that run.

    Args:
        token: what the mark of every process of ours begins with.
        say: takes the name of a part and a line about it.
        record: takes the id and the start of each part's process, whenever one was started.
    """

    def __init__(
        self,
        logs: Path,
        token: str,
        say: Callable[[str, str], None],
        record: Callable[[dict[str, tuple[int, float]]], None] = lambda parts: None,
    ) -> None:
        self.logs, self.token, self.say, self._record = logs, token, say, record
        self.running: list[Running] = []
        self.ready = False

    def start(self, part: Part) -> Running:
        running = Running(part, self.token, self.logs)
        self.running.append(running)
        self._write()
        return running

    def _write(self) -> None:
        ids = {one.part.name: one.process.pid for one in self.running}
        self._record({name: (pid, marks.born(pid)) for name, pid in ids.items()})

    def tend(self) -> None:
        """Looks after every part once: notices what has died, starts again what is due.

        Raises:
            EntromaskError: before all was ready, a part has died too often or refuses to start.
        """
        for one in self.running:
            if one.alive:
                continue
            if one.due is None:
                self._notice(one)
            elif time.monotonic() >= one.due:
                self.say("up", f"starting {one.part.name} again")
                one.restart()
                self._write()

    def _notice(self, one: Running) -> None:
        name, how = one.part.name, one.how_it_ended()
        hopeless = one.failures + 1 >= _TRIES or one.process.returncode == _USAGE
        if not self.ready and hopeless:
            raise EntromaskError(
                f"{name} does not start: it {how}", f"its last lines are in {one.log}"
            )
        delay = one.plan_restart()
        self.say("up", f"{name} {how}; it is started again in {delay:g} s")

    def stop(self, hurry: Callable[[], bool]) -> None:
        """Stops the tiers from the highest down; afterwards no process of ours is left.

        Args:
            hurry: asked again and again; once true, everything is killed at once.
        """
        order = sorted(self.running, key=lambda one: -one.part.tier)
        for _, tier in groupby(order, key=lambda one: one.part.tier):
            self._stop_together(list(tier), hurry)
        self.running.clear()
        marks.end(f"{self.token}/")

    def _stop_together(self, parts: list[Running], hurry: Callable[[], bool]) -> None:
        start = time.monotonic()
        for one in parts:
            one.terminate()
        while (left := _alive(parts)) and not hurry():
            late = [one for one in left if time.monotonic() - start > one.part.grace]
            for one in late:
                self.say("up", f"{one.part.name} has not ended in {one.part.grace:g} s: killed")
                one.kill()
            if not late:
                time.sleep(0.05)
        for one in parts:
            one.kill()


def _alive(parts: Iterable[Running]) -> list[Running]:
    return [one for one in parts if one.alive]

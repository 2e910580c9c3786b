"""`entromask up`: parts are started, restarted and ended as processes; one service per home."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from entromask.errors import EntromaskError, InputError
from entromask.settings import Settings
from entromask.stack import hardware, marks
from entromask.stack.hardware import shares
from entromask.stack.home import Home
from entromask.stack.logs import LogTail
from entromask.stack.part import Part
from entromask.stack.parts import parts
from entromask.stack.ports import check_free
from entromask.stack.supervisor import Supervisor
from tests.up import Service, free_port, until

TOKEN = "a1b2"
LASTS = "import time; time.sleep(600)"


def part(name: str, program: str, tier: int = 1, grace: float = 10.0) -> Part:
    return Part(name, (sys.executable, "-c", program), tier, grace)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    token = f"{TOKEN}{os.getpid()}"
    made = Supervisor(tmp_path, token, lambda name, line: said.append(f"{name}: {line}"))
    yield made
    made.stop(lambda: True)
    assert marks.marked(f"{token}/") == []


def test_a_part_that_dies_is_started_again_with_growing_delays(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.ready = True
    one = supervisor.start(part("dies", "raise SystemExit(3)"))

    def tended() -> bool:
        supervisor.tend()
        return one.failures == 3

    until(tended)
    assert [line for line in said if "exit code" in line] == [
        f"up: dies ended with exit code 3; it is started again in {delay} s" for delay in (1, 2, 4)
    ]


def test_before_all_is_ready_a_part_that_refuses_to_start_ends_the_service(
    supervisor: Supervisor,
) -> None:
    one = supervisor.start(part("api", "raise SystemExit(2)"))
    until(lambda: not one.alive)
    with pytest.raises(EntromaskError, match="api does not start: it ended with exit code 2"):
        supervisor.tend()


def test_a_restart_ends_what_the_last_process_left_behind(supervisor: Supervisor) -> None:
    supervisor.ready = True
    leaves = f"""
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", {LASTS!r}], start_new_session=True)
time.sleep(600)
"""
    one = supervisor.start(part("worker", leaves))
    until(lambda: len(marks.marked(one.mark)) == 2)
    before = {process.pid for process in marks.marked(one.mark)}
    one.process.kill()

    def restarted() -> bool:
        supervisor.tend()
        return one.failures == 1 and one.alive

    until(restarted)
    assert not before & {process.pid for process in marks.marked(one.mark)}


def test_parts_are_stopped_in_reverse_order_and_may_take_their_time(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    ends = """
import signal, sys, time
def stop(*_):
    time.sleep(0.3)
    with open(sys.argv[1], "a") as file:
        file.write(sys.argv[2])
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(600)
"""
    order = tmp_path / "order"
    for tier, name in enumerate("abc"):
        command = (sys.executable, "-c", ends, str(order), name)
        supervisor.start(Part(name, command, tier, 30))
    until(lambda: all((tmp_path / f"{n}.log").read_text() == "ready\n" for n in "abc"))
    supervisor.stop(lambda: False)
    assert order.read_text() == "cba"


@pytest.mark.parametrize("hurry", [True, False], ids=["second Ctrl-C", "grace is over"])
def test_a_part_that_does_not_end_is_killed(
    supervisor: Supervisor, tmp_path: Path, hurry: bool
) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); "
    grace = 600.0 if hurry else 0.2
    one = supervisor.start(part("stubborn", stubborn + "time.sleep(600)", grace=grace))
    until(lambda: (tmp_path / "stubborn.log").read_text())
    supervisor.stop(lambda: hurry)
    assert one.process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child")
def test_a_part_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from entromask.stack.part import Part, Running
one = Running(Part("p", (sys.executable, "-c", {LASTS!r}), 1, 1.0), "{TOKEN}", Path(sys.argv[1]))
print(one.process.pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        # Not before it has become the command.
        until(lambda: LASTS in child.cmdline())
        parent.kill()
    child.wait(timeout=30)


def test_what_a_killed_up_left_is_found_by_its_mark_and_nothing_else(tmp_path: Path) -> None:
    environment = os.environ | {marks.MARK: f"{TOKEN}x/worker"}
    stranger = os.environ | {marks.MARK: "other/worker"}
    with (
        subprocess.Popen([sys.executable, "-c", LASTS], env=environment) as ours,
        subprocess.Popen([sys.executable, "-c", LASTS], env=stranger) as theirs,
    ):
        until(lambda: marks.marked(f"{TOKEN}x/"))
        marks.end(f"{TOKEN}x/", patience=30)
        assert ours.wait(timeout=30) == -signal.SIGTERM
        assert theirs.poll() is None
        theirs.kill()


def test_a_second_up_on_the_same_home_is_refused_and_names_the_first(tmp_path: Path) -> None:
    with Home(tmp_path, "http://127.0.0.1:1234") as first:
        first.record({"redis": (1, 2.0)})
        with pytest.raises(EntromaskError) as refused, Home(tmp_path, "http://x"):
            pass
    assert f"process {os.getpid()}, http://127.0.0.1:1234" in refused.value.message
    assert str(tmp_path) in refused.value.message
    with Home(tmp_path, "http://x") as second:
        # The first one did not end in order: its processes are looked for.
        assert second.earlier == first.token
        assert second.earlier_parts == [(1, 2.0)]
        second.forget()
    with Home(tmp_path, "http://x") as third:
        assert third.earlier is None


def test_a_home_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    home = tmp_path / "file" / "home"
    with pytest.raises(InputError, match=str(home)), Home(home, "http://x"):
        pass


def test_a_taken_port_is_named_with_a_free_one() -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EntromaskError, match=f"port {port} of 127.0.0.1 is taken") as error:
            check_free("127.0.0.1", port, "ENTROMASK_API_PORT")
    assert "ENTROMASK_API_PORT=" in str(error.value.hint)
    check_free("127.0.0.1", port, "ENTROMASK_API_PORT")


def test_an_address_of_another_machine_is_no_place_to_listen() -> None:
    with pytest.raises(InputError, match="nothing can listen"):
        check_free("192.0.2.1", 8000, "ENTROMASK_API_PORT")


def test_each_worker_gets_its_gpu_and_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    found = shares(3, ["0", "1"], 16)
    assert [share["CUDA_VISIBLE_DEVICES"] for share in found] == ["0", "1", "0"]
    assert [share["OMP_NUM_THREADS"] for share in found] == ["5", "5", "5"]
    assert shares(4, [], 2)[0] == {"OMP_NUM_THREADS": "1"}
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert shares(1, [], 16) == [{}]


def test_there_is_a_worker_for_each_gpu_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    names = [one.name for one in parts(Settings(), None)]
    assert names == ["api", "reaper", "worker-1", "worker-2", "preview", "dashboard"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.gpus() == []
    assert [one.name for one in parts(Settings(), None)] == [
        *("api", "reaper", "worker", "preview", "dashboard")
    ]


def test_the_dashboard_shows_the_service_it_came_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENTROMASK_API_URL", "http://elsewhere:1")
    monkeypatch.setenv("ENTROMASK_API_PORT", "8123")
    [dashboard] = [one for one in parts(Settings(), 1) if one.name == "dashboard"]
    assert dashboard.environment["ENTROMASK_API_URL"] == "http://127.0.0.1:8123"


def test_lines_of_the_logs_are_shown_whole_behind_the_name_of_their_part(tmp_path: Path) -> None:
    api, worker = tmp_path / "api.log", tmp_path / "worker.log"
    api.write_text("of an earlier time\n")
    out = io.StringIO()
    tail = LogTail({"api": api, "worker": worker}, out, every=0.01)
    tail.start()
    with worker.open("a") as file:
        file.write("half a ")
        file.flush()
        with api.open("a") as other:
            other.write("listens\n")
        until(lambda: "listens" in out.getvalue())
        file.write("line\n")
    tail.stop()
    assert out.getvalue() == "api    | listens\nworker | half a line\n"


def test_a_long_log_is_put_aside_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("entromask.stack.logs._LONGEST", 100)
    log, out = tmp_path / "api.log", io.StringIO()
    tail = LogTail({"api": log}, out, every=0.01)
    tail.start()
    with log.open("ab") as file:
        file.write(b"x" * 150 + b"\n")
        file.flush()
        until(lambda: log.stat().st_size == 0)
        file.write(b"next\n")
    tail.stop()
    assert out.getvalue().splitlines() == ["api | " + "x" * 150, "api | next"]
    assert (tmp_path / "api.log.1").read_bytes() == b"x" * 150 + b"\n"


def test_a_recorded_process_is_ended_and_one_with_its_id_since_is_not() -> None:
    with subprocess.Popen([sys.executable, "-c", LASTS]) as process:
        at = marks.born(process.pid)
        marks.end_recorded([(process.pid, at - 100)], patience=5)
        assert process.poll() is None
        marks.end_recorded([(process.pid, at)], patience=30)
        assert process.poll() is not None


@pytest.mark.slow
@pytest.mark.faults
def test_up_restarts_what_is_killed_and_leaves_no_process(service: Service) -> None:
    for name in ("redis", "api", "worker", "dashboard"):
        before = service.part(name)
        before.kill()

        def back(name: str = name, before: int = before.pid) -> bool:
            return service.parts()[name] != before

        until(back, 60)
        assert f"{name} was ended by SIGKILL; it is started again in" in service.text
    second = Service(service.home, free_port())
    assert second.process.wait(timeout=60) == 1
    assert f"process {service.process.pid}, {service.url}" in second.text
    token, redis = service.token(), service.part("redis")
    assert service.stop() == 0
    assert marks.marked(f"{token}/") == []
    assert not redis.is_running()
    assert not (service.home / "up.json").exists()
    assert (service.home / "logs" / "api.log").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.faults
def test_after_a_killed_up_nothing_is_left_and_the_next_one_starts(service: Service) -> None:
    token, redis = service.token(), service.part("redis")
    service.process.kill()
    service.process.wait()
    again = Service(service.home, free_port())
    try:
        again.wait_until_ready()
        assert marks.marked(f"{token}/") == []
        assert not redis.is_running()
    finally:
        again.stop()


def test_up_names_a_taken_port_before_it_starts_anything(short_home: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = Service(short_home, taken.getsockname()[1])
        assert refused.process.wait(timeout=60) == 1
    assert "is taken by another program" in refused.text
    assert "hint: choose another one, for example ENTROMASK_API_PORT=" in refused.text
    assert not (short_home / "logs").exists()

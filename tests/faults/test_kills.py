"""Whatever is killed at whatever moment: the run ends as if nothing had happened."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.service import LEASE, Service, check_undisturbed, long_spec, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def kill_job(service: Service) -> None:
    process = service.job_process()
    assert process is not None
    process.kill()


def kill_celery_child(service: Service) -> None:
    service.celery_child().kill()


def kill_worker(service: Service) -> None:
    for process in service.processes("worker"):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue


def kill_redis(service: Service) -> None:
    service.main_process("redis").kill()


def kill_api(service: Service) -> None:
    service.main_process("api").kill()


def kill_up(service: Service) -> None:
    assert service.up is not None
    service.up.kill()
    service.up.wait()
    service.start()


def check_lock_is_free(folder: Path) -> None:
    for lock in folder.rglob("*.lock"):
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    "kill", [kill_job, kill_celery_child, kill_worker, kill_redis, kill_api, kill_up]
)
def test_after_a_kill_the_run_ends_as_if_nothing_had_happened(
    service: Service,
    text: Path,
    undisturbed: dict[str, Any],
    kill: Callable[[Service], None],
) -> None:
    run = service.client.create_run(long_spec(text, kill.__name__))
    step = service.wait_for_a_random_step(run)
    kill(service)
    ended = service.wait(run)
    assert ended.status == "succeeded", (step, ended)
    check_undisturbed(service, run, undisturbed)
    until(lambda: service.job_process() is None, "no process of the job")
    check_lock_is_free(service.folder(run))
    service.wait_for_worker()


def test_a_run_whose_worker_died_is_requeued_within_two_lease_times(
    service: Service, text: Path
) -> None:
    run = service.client.create_run(long_spec(text, "requeued"))
    service.wait_for_a_random_step(run)
    kill_worker(service)
    died = time.monotonic()
    # The worker that is started in its place may take it up at once.
    until(
        lambda: (now := service.client.get_run(run)).status == "queued" or now.attempt > 1,
        "the run in the queue again",
        2 * LEASE,
    )
    assert time.monotonic() - died < 2 * LEASE
    assert service.wait(run).status == "succeeded"


def test_a_run_that_crashes_each_time_fails_after_the_last_attempt(
    service: Service, text: Path
) -> None:
    run = service.client.create_run(long_spec(text, "crashes"))
    deadline = time.monotonic() + 180
    while service.client.get_run(run).status not in ("failed", "succeeded"):
        assert time.monotonic() < deadline
        process = service.job_process()
        if process is not None:
            process.kill()
        time.sleep(0.1)
    ended = service.client.get_run(run)
    assert (ended.status, ended.reason, ended.attempt) == ("failed", "worker_lost", 3)
    assert ended.error is not None
    assert "signal 9" in ended.error.message


@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_run_whose_worker_is_gone_can_be_stopped(service: Service, text: Path, how: str) -> None:
    run = service.client.create_run(long_spec(text, f"gone {how}"))
    service.wait_for_a_random_step(run)
    kill_worker(service)
    getattr(service.client, how)(run)
    assert service.wait(run).status == "cancelled"
    service.wait_for_worker()
    resumed = service.client.resume(run)
    assert service.wait(resumed).status == "succeeded"

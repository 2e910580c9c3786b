"""Jobs through a real queue: done, cancelled, killed, crashed, given back. Never lost."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import entromask
from backend.store import feed, history, metrics, workers
from entromask.durations import measured_speed
from entromask.settings import settings
from tests.entromask.runs import events, small_spec, weights
from tests.worker.stack import Stack, family, is_alive

pytestmark = pytest.mark.slow

# Long enough to be interrupted.
LONG: dict[str, Any] = {
    "pretraining": {
        "budget": {"steps": 300},
        "batch_size": 8,
        "sequence_length": 32,
        "learning_rate": 2e-3,
        "checkpoint_every": 20,
        "evaluate_every": 50,
    }
}


def undisturbed(stack: Stack, folder: Path, **parts: Any) -> bytes:
    """The weights of the same spec, run without a server."""
    return weights(entromask.run(small_spec(stack.corpus, **parts), output=folder).folder)


def test_a_worker_tells_its_speed_before_any_job(stack: Stack) -> None:
    stack.start()

    def told() -> Any:
        with stack.database.read() as session:
            return history.speed(session)

    speed = stack.until(told, "the worker has measured its machine")
    assert speed.device
    assert speed.flops_per_second > 1e6
    # The next worker of this machine reads it.
    assert measured_speed() == speed


def test_a_run_is_done_as_without_a_server(stack: Stack, tmp_path: Path) -> None:
    worker = stack.start()
    run_id = stack.submit()
    run = stack.ended(run_id)
    assert (run.status, run.stage, run.reason) == ("succeeded", "reporting", None)
    assert run.results is not None
    assert run.results["validation"]["loss"] == run.results["validation"]["loss"]
    assert weights(stack.folder(run_id)) == undisturbed(stack, tmp_path / "alone")
    stages = [e["message"] for e in events(stack.folder(run_id)) if e["type"] == "stage"]
    assert stages == ["preparing", "pretraining", "reporting"]
    with stack.database.read() as session:
        measured = metrics.history(session, run_id, ["training_loss"], 100)["training_loss"]
        stored = feed.events_after(session, run_id, 0, 1000)
        [(seen, _)] = workers.list_workers(session, 60)
    assert measured["steps"] == [10, 20, 30]
    assert [event.seq for event in stored] == list(range(1, len(stored) + 1))
    assert stored[-1].data["type"] == "done"
    assert seen.state["memory"]["total"] > seen.state["memory"]["used"] > 0
    assert "torch" in seen.state["versions"]
    # CUDA cannot be used after a fork: neither the Celery parent nor its child has torch.
    for process in (psutil.Process(worker.pid), *psutil.Process(worker.pid).children()):
        assert not any("libtorch" in file.path for file in process.memory_maps())
    left = family(worker)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive
    with stack.database.read() as session:
        assert workers.list_workers(session, 60) == []


@pytest.mark.faults
def test_a_killed_process_is_followed_by_another_that_ends_alike(
    stack: Stack, tmp_path: Path
) -> None:
    stack.start()
    run_id = stack.submit(**LONG)
    psutil.Process(stack.trains(run_id, checkpoints=2)).kill()
    assert stack.ended(run_id).status == "succeeded"
    assert stack.job(run_id).losses == 1
    assert any(event["type"] == "resumed" for event in events(stack.folder(run_id)))
    assert weights(stack.folder(run_id)) == undisturbed(stack, tmp_path / "alone", **LONG)
    with stack.database.read() as session:
        measured = metrics.history(session, run_id, ["training_loss"], 1000)["training_loss"]
    assert measured["steps"] == list(range(10, 301, 10))


def test_a_cancelled_run_leaves_a_checkpoint_from_which_it_continues(
    stack: Stack, tmp_path: Path
) -> None:
    stack.start()
    run_id = stack.submit(**LONG)
    pid = stack.trains(run_id)
    stack.stop_run(run_id, "cancel")
    assert stack.ended(run_id).status == "cancelled"
    assert not is_alive(pid)
    last = [e["step"] for e in events(stack.folder(run_id)) if e["type"] == "checkpoint"][-1]
    assert (stack.folder(run_id) / "checkpoints" / f"step-{last}").is_dir()
    stack.restart(run_id)
    assert stack.ended(run_id).status == "succeeded"
    resumed = [e["step"] for e in events(stack.folder(run_id)) if e["type"] == "resumed"]
    assert resumed == [last]
    assert weights(stack.folder(run_id)) == undisturbed(stack, tmp_path / "alone", **LONG)


def test_a_kill_ends_the_process_at_once(stack: Stack) -> None:
    stack.start()
    run_id = stack.submit(**LONG)
    pid = stack.trains(run_id)
    before = len(events(stack.folder(run_id)))
    began = time.monotonic()
    stack.stop_run(run_id, "kill")
    stack.until(lambda: not is_alive(pid), "the process is gone")
    assert time.monotonic() - began < 10  # 2 s, on a machine with a core to spare
    assert stack.ended(run_id).status == "cancelled"
    assert len(events(stack.folder(run_id))) >= before


def test_a_worker_that_ends_gives_its_job_back_with_a_checkpoint(stack: Stack) -> None:
    worker = stack.start()
    run_id = stack.submit(**LONG)
    pid = stack.trains(run_id)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert not is_alive(pid)
    job = stack.job(run_id)
    assert (job.status, job.losses, job.worker) == ("queued", 0, None)
    last = [e["step"] for e in events(stack.folder(run_id)) if e["type"] == "checkpoint"][-1]
    assert (stack.folder(run_id) / "checkpoints" / f"step-{last}").is_dir()


@pytest.mark.faults
def test_the_reaper_requeues_what_a_killed_worker_had(stack: Stack, tmp_path: Path) -> None:
    worker = stack.start()
    run_id = stack.submit(**LONG)
    pid = stack.trains(run_id)
    attempt = stack.job(run_id).attempt
    stack.start("worker.reaper")
    worker.kill()
    worker.wait()
    stack.until(lambda: not is_alive(pid), "no orphan is left", patience=20)
    stack.until(lambda: stack.job(run_id).status == "queued", "it is requeued")
    stack.start()
    assert stack.ended(run_id).status == "succeeded"
    assert stack.job(run_id).attempt == attempt + 1
    assert weights(stack.folder(run_id)) == undisturbed(stack, tmp_path / "alone", **LONG)


@pytest.mark.faults
def test_the_reaper_sends_again_what_redis_lost(stack: Stack) -> None:
    from backend.queue import redis_client

    run_id = stack.submit()
    redis_client().flushall()
    stack.start("worker.reaper")
    stack.start()
    assert stack.ended(run_id).status == "succeeded"


def test_a_job_that_crashes_each_time_fails_after_the_last_attempt(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENTROMASK_MAX_ATTEMPTS", "2")
    settings.cache_clear()
    stack.start()
    run_id = stack.submit(**LONG)
    for number in (1, 2):
        stack.until(
            lambda: stack.job(run_id).attempt == number,  # noqa: B023 - called at once
            f"attempt {number}",
        )
        psutil.Process(stack.pid(stack.job(run_id))).send_signal(signal.SIGSEGV)
    run = stack.ended(run_id)
    assert (run.status, run.reason) == ("failed", "internal")
    assert "SIGSEGV" in str(run.message)
    assert run_id in str(run.hint)


def test_an_unexpected_error_fails_the_run_with_a_traceback_in_its_log(stack: Stack) -> None:
    stack.start()
    run_id = stack.submit()
    folder = stack.folder(run_id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "environment.json").mkdir()  # where a file is to be written
    run = stack.ended(run_id)
    assert (run.status, run.reason) == ("failed", "internal")
    assert "unexpected IsADirectoryError" in str(run.message)
    assert "Traceback" in (folder / "log.txt").read_text()
    assert stack.job(run_id).attempt == 1


def test_what_the_spec_names_wrongly_fails_the_run_in_one_sentence(stack: Stack) -> None:
    stack.start()
    run_id = stack.submit(tokenizer={"source": "local", "path": "/no/such/tokenizer"})
    run = stack.ended(run_id)
    assert (run.status, run.reason) == ("failed", "user_error")
    assert "/no/such/tokenizer" in str(run.message)
    assert "Traceback" not in (stack.folder(run_id) / "log.txt").read_text()

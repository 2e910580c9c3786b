"""What users ask of a run: cancel lets it write a checkpoint, kill does not wait."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.entromask.runs import events, weights
from tests.faults.service import Service, long_spec, pretraining_steps, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def test_cancel_leaves_a_checkpoint_that_resume_continues_from(
    service: Service, text: Path, undisturbed: dict[str, Any]
) -> None:
    run = service.client.create_run(long_spec(text, "cancelled"))
    service.wait_for_a_random_step(run)
    process = service.job_process()
    assert process is not None
    service.client.cancel(run)
    assert service.wait(run).status == "cancelled"
    assert not process.is_running()
    folder = service.folder(run)
    last = [event for event in events(folder) if event["type"] == "checkpoint"][-1]
    # Nothing of the work is lost: the checkpoint is of the last step that was done.
    assert last["step"] == max(pretraining_steps(folder))
    service.client.resume(run)
    assert service.wait(run).status == "succeeded"
    [resumed] = [event for event in events(service.folder(run)) if event["type"] == "resumed"]
    assert resumed["step"] == last["step"]
    assert weights(service.folder(run)) == undisturbed["weights"]


def test_kill_ends_every_process_of_the_run_within_two_seconds(
    service: Service, text: Path
) -> None:
    run = service.client.create_run(long_spec(text, "killed"))
    service.wait_for_a_random_step(run)
    process = service.job_process()
    assert process is not None
    began = time.monotonic()
    service.client.kill(run)
    until(lambda: not process.is_running(), "the end of its process", 10)
    assert time.monotonic() - began < 2
    assert service.wait(run).status == "cancelled"


def test_a_queued_run_that_is_cancelled_never_starts(service: Service, text: Path) -> None:
    first = service.client.create_run(long_spec(text, "in front"))
    second = service.client.create_run(long_spec(text, "behind"))
    assert service.client.cancel(second).status == "cancelled"
    assert service.wait(first).status == "succeeded"
    after = service.client.create_run(long_spec(text, "after"))
    assert service.wait(after).status == "succeeded"
    assert service.client.get_run(second).attempt == 0
    assert events(service.folder(second)) == []

"""A stack that is killed in the middle of an experiment: nothing twice, nothing missing."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from entromask.resources import Experiment
from tests.entromask.runs import short_evaluation
from tests.faults.service import Service, long_spec, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]

# What a report tells of time and of this try of it.
_PASSING = {"id", "created_at", "seconds", "tokens_per_second", "scoring_seconds", "relative"}


def spec(text: Path, name: str) -> dict[str, Any]:
    base = long_spec(text, name)
    base["pretraining"] = {**base["pretraining"], "budget": {"steps": 60}}
    base["evaluation"] = short_evaluation(text.parent / "glue")
    return {
        "name": name,
        "base": {**base, "teacher": {"run": "big"}},
        "teachers": {"big": {"seed": 9}},
        "methods": {
            "random": {"masking.preset": "random"},
            "by teacher": {"masking.preset": "teacher-masked-entropy-sample"},
        },
        "seeds": [0, 1],
        "controls": {"frequency": False, "equal_compute": False},
    }


def lasting(data: Any) -> Any:
    """A report without what differs between two tries that found the same."""
    if isinstance(data, dict):
        return {key: lasting(value) for key, value in data.items() if key not in _PASSING}
    if isinstance(data, list):
        return [lasting(item) for item in data]
    return data


def jobs_done(service: Service, experiment: Experiment) -> list[str]:
    """(run, message) of every result and checkpoint of a finished pretraining that was told."""
    told = []
    for cell in service.client.get_experiment(experiment).cells:
        for run in cell.runs:
            events = service.client.events(run.id)
            told += [f"{run.id} {e.message}" for e in events if e.type in ("result", "done")]
    return told


def wait(service: Service, experiment: Experiment) -> Experiment:
    def over() -> Experiment | None:
        found = service.client.get_experiment(experiment)
        return found if found.status in ("succeeded", "failed", "cancelled") else None

    found: Experiment = until(over, "the end of the experiment", 600)
    return found


def test_a_killed_and_restarted_stack_gives_the_same_report(text: Path) -> None:
    service = Service(None)
    try:
        service.start()
        undisturbed = wait(service, service.client.create_experiment(spec(text, "one")))
        assert undisturbed.status == "succeeded", undisturbed.runs
        expected = service.client.summary(undisturbed)
        service.stop()
        service.remove()

        service = Service(None)
        service.start()
        killed = service.client.create_experiment(spec(text, "one"))

        def some_are_done() -> bool:
            runs = service.client.get_experiment(killed).runs
            return bool(runs.get("succeeded"))

        until(some_are_done, "the first finished run", 240)
        time.sleep(random.uniform(0.0, 6.0))
        assert service.up is not None
        # First what would start the others again.
        service.up.kill()
        service.up.wait(60)
        for process in service.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        service.start()
        ended = wait(service, killed)

        assert ended.status == "succeeded", ended.runs
        assert ended.total == sum(ended.runs.values()) == undisturbed.total == 7
        told = jobs_done(service, ended)
        assert sorted(set(told)) == sorted(told), "a result was told twice"
        assert len(told) == 7 + 6  # each run's end, and each evaluation's result
        found = service.client.summary(ended)
        assert lasting(found.model_dump()) == lasting(expected.model_dump())
        service.stop()
        assert service.processes() == []
    finally:
        service.remove()

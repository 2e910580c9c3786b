"""A kill while a run is evaluated: what is done is kept, and the scores are the same."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from entromask.resources import Run
from tests.faults.service import Service, long_spec, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]


def spec_with_cells(text: Path, name: str) -> dict[str, Any]:
    evaluation = {"tasks": ["demo-order"], "seeds": [0, 1], "floor": False}
    return long_spec(text, name) | {"evaluation": evaluation}


def test_a_kill_while_evaluating_changes_no_score(service: Service, text: Path) -> None:
    def evaluates(run: Run) -> bool:
        return service.client.get_run(run).stage == "evaluating" and bool(service.job_process())

    killed = service.client.create_run(spec_with_cells(text, "killed"))
    until(lambda: evaluates(killed), "the evaluation")
    time.sleep(random.uniform(0.0, 3.0))
    until(service.job_process, "a process of a cell").kill()
    straight = service.client.create_run(spec_with_cells(text, "straight"))
    ended = [service.wait(run) for run in (killed, straight)]
    assert [run.status for run in ended] == ["succeeded", "succeeded"]
    first, second = (service.client.results(run) for run in ended)
    for part in ("validation", "tasks", "averages", "diagnostics"):
        assert first[part] == second[part]
    events = list(service.client.events(killed))
    results = [event.message for event in events if event.type == "result"]
    assert sorted(set(results)) == sorted(results), "a result was told twice"
    assert len(results) == 2

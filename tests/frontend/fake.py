"""A stand-in for the client of the API: answers from memory, counts what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from entromask.presets import MASKING_PRESETS
from entromask.resources import OVER, Experiment, Page, Run, Strategy
from entromask.rest.errors import ApiError, refused
from entromask.spec import RunSpec

# 2026-01-01
NOW = 1_767_225_600.0


def a_run(number: int = 1, status: str = "succeeded", **changes: Any) -> Run:
    """A run as the API shows it; the higher its number, the newer."""
    preset = changes.pop("preset", "random")
    given = {"name": changes.get("name", f"run {number}"), "masking": {"preset": preset}}
    spec = RunSpec.parse(given | changes.pop("spec", {})).resolved()
    running = status in ("running", "cancelling")
    data: dict[str, Any] = {
        "id": f"run_{number:024d}",
        "name": spec.name,
        "status": status,
        "stage": "pretraining" if running else None,
        "progress": {
            "step": 300,
            "total": 1200,
            "fraction": 0.25,
            "tokens_per_second": 21_000.0,
            "eta_seconds": 75.0,
        }
        if running
        else None,
        "spec": spec.data(),
        "spec_hash": spec.spec_hash,
        "group_hash": spec.group_hash,
        "seed": spec.seed,
        "strategy": preset,
        "tags": [],
        "notes": "",
        "priority": 5,
        "attempt": 1,
        "created_at": NOW + number,
        "started_at": None if status == "queued" else NOW + number + 1,
        "finished_at": NOW + number + 61 if status in OVER else None,
        "metrics": {},
        "scores": {"demo-order": 0.663} if status == "succeeded" else {},
        "warnings": [],
    }
    if status == "failed":
        data["reason"] = "cuda_oom"
        data["error"] = {
            "code": "cuda_oom",
            "message": "the GPU's memory was full",
            "hint": "halve pretraining.batch_size and double gradient_accumulation",
        }
    return Run.model_validate(data | changes)


def an_experiment(
    number: int = 1,
    states: Mapping[str, Sequence[str]] | None = None,
    **changes: Any,
) -> Experiment:
    """An experiment as the API shows it; the higher its number, the newer.

    Args:
        states: by the label of a cell, the states of its seeds 0, 1, …; the first cell is the
            baseline, one called "no pretraining" a control, one called "teacher" a teacher.
    """
    given = states or {"random": ("succeeded", "succeeded"), "self": ("succeeded", "succeeded")}
    home = next(label for label in given if label != "teacher")
    cells: list[dict[str, Any]] = []
    for row, (label, of_seeds) in enumerate(given.items()):
        role = {home: "baseline", "no pretraining": "control", "teacher": "teacher"}
        cells.append(
            {
                "key": label.replace(" ", "-"),
                "label": label,
                "role": role.get(label, "method"),
                "settings": {"masking.preset": label},
                "baseline": None if label in (home, "teacher") else home.replace(" ", "-"),
                "runs": [
                    {
                        "id": f"run_{number:08d}{row:08d}{seed:08d}",
                        "seed": seed,
                        "status": status,
                        "stage": "pretraining" if status == "running" else None,
                        "fraction": 0.25 if status == "running" else None,
                    }
                    for seed, status in enumerate(of_seeds)
                ],
            }
        )
    every = [run["status"] for cell in cells for run in cell["runs"]]
    going = [status for status in every if status not in OVER]
    data: dict[str, Any] = {
        "id": f"exp_{number:024d}",
        "name": f"experiment {number}",
        "status": ("queued" if len(going) == len(every) else "running")
        if going
        else next((s for s in ("failed", "cancelled") if s in every), "succeeded"),
        "spec": {"name": "e", "description": "", "base": {}, "baseline": home}
        | {"seeds": list(range(max(map(len, given.values()))))},
        "tags": [],
        "notes": "",
        "priority": 5,
        "created_at": NOW + number,
        "runs": {status: every.count(status) for status in every},
        "total": len(every),
        "fraction": 1 - len(going) / len(every),
        "cells": cells,
    }
    return Experiment.model_validate(data | changes)


class FakeClient:
    """Answers as `entromask.client.Client` does.

    `answers` holds, by method, what it returns: a value, a function of the call's arguments, or
    an exception to raise. `asked` lists the methods that were called. With `away` nothing answers.
    """

    def __init__(self, *given: Run | Experiment, **answers: Any) -> None:
        self.runs = {one.id: one for one in given if isinstance(one, Run)}
        self.experiments = {one.id: one for one in given if isinstance(one, Experiment)}
        self.asked: list[str] = []
        self.away = False
        self.answers: dict[str, Any] = {
            "strategies": [
                Strategy(name=name, description=p.description, parts=p.parts)
                for name, p in MASKING_PRESETS.items()
            ],
            "health": {"status": "ok"},
            "version": "0.1.0",
            "runs_page": self._runs_page,
            "list_runs": lambda **filters: iter(self._runs_page(**filters).data),
            "get_run": self._get_run,
            "list_experiments": self._list_experiments,
            "get_experiment": self._get_experiment,
        } | answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*words: Any, **named: Any) -> Any:
            self.asked.append(name)
            if self.away:
                raise refused("http://127.0.0.1:8000")
            answer = self.answers[name]
            if isinstance(answer, Exception):
                raise answer
            return answer(*words, **named) if callable(answer) else answer

        return call

    def _runs_page(
        self, limit: int | None = 50, after: str | None = None, **filters: Any
    ) -> Page[Run]:
        found = sorted(self.runs.values(), key=lambda run: -run.created_at)
        for field in ("status", "strategy"):
            if filters.get(field):
                found = [run for run in found if getattr(run, field) == filters[field]]
        if filters.get("group"):
            found = [run for run in found if run.group_hash == filters["group"]]
        if filters.get("tag"):
            found = [run for run in found if filters["tag"] in run.tags]
        if filters.get("q"):
            found = [run for run in found if filters["q"] in f"{run.name} {run.id}"]
        start, size = int(after or 0), limit or len(found)
        more = start + size < len(found)
        return Page[Run](
            data=found[start : start + size],
            has_more=more,
            next=str(start + size) if more else None,
        )

    def _get_run(self, run: Run | str) -> Run:
        id_ = run if isinstance(run, str) else run.id
        if id_ not in self.runs:
            raise ApiError(f"no run '{id_}'", None, status=404, code="not_found")
        return self.runs[id_]

    def _list_experiments(self, q: str | None = None) -> Iterator[Experiment]:
        found = sorted(self.experiments.values(), key=lambda one: -one.created_at)
        return iter([one for one in found if q is None or q in f"{one.name} {one.id}"])

    def _get_experiment(self, experiment: Experiment | str) -> Experiment:
        id_ = experiment if isinstance(experiment, str) else experiment.id
        if id_ not in self.experiments:
            raise ApiError(f"no experiment '{id_}'", None, status=404, code="not_found")
        return self.experiments[id_]

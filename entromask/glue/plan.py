"""Which pieces an evaluation falls into: each can be computed on its own, by any worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from entromask.glue.tasks import TASKS, Task
from entromask.spec import Evaluation


@dataclass(frozen=True)
class Cell:
    """One fine-tuning (or one zero-shot scoring), or the floors of a group of tasks.

    `tasks` share the fine-tuning; `seed` is None for zero-shot tasks and for floors.
    """

    tasks: tuple[str, ...]
    seed: int | None = None
    floor: bool = False

    @property
    def name(self) -> str:
        """Such as rte-seed0, blimp, rte-floor; also a file name."""
        end = "-floor" if self.floor else "" if self.seed is None else f"-seed{self.seed}"
        return "+".join(self.tasks) + end

    def data(self) -> dict[str, Any]:
        return {"tasks": list(self.tasks), "seed": self.seed, "floor": self.floor}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Cell:
        return cls(tuple(data["tasks"]), data["seed"], data["floor"])


def trained_as(task: Task) -> Task:
    """The task whose training split a task is fine-tuned on: itself, except of AX."""
    return TASKS[task.trained_on] if task.trained_on else task


def groups(evaluation: Evaluation) -> list[list[str]]:
    """The tasks, those together that share one fine-tuning (AX is scored by MNLI's model)."""
    together: dict[str, list[str]] = {}
    for name in evaluation.tasks:
        together.setdefault(trained_as(evaluation.task(name)).name, []).append(name)
    return list(together.values())


def plan(evaluation: Evaluation) -> list[Cell]:
    """Every cell of an evaluation, in the order of its tasks."""
    cells = []
    for names in groups(evaluation):
        zero_shot = evaluation.task(names[0]).kind == "minimal-pairs"
        seeds: list[int | None] = [None] if zero_shot else [*evaluation.seeds]
        cells += [Cell(tuple(names), seed) for seed in seeds]
        if evaluation.floor:
            cells.append(Cell(tuple(names), floor=True))
    return cells

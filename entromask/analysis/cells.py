"""The runs of an experiment as its summary takes them: methods, each with the runs of its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from entromask.analysis.runs import Run
from entromask.analysis.table import Column
from entromask.wire.summary import CellRole

NO_PRETRAINING = "no-pretraining"


@dataclass(frozen=True)
class SeedRun:
    """One run of a cell.

    Attributes:
        status: of a run of the service: queued, running, succeeded, failed, …
        run: of a finished run; None of any other.
        curve: (step, loss on the common validation masks) while it trained.
    """

    seed: int
    id: str | None
    status: str
    run: Run | None
    curve: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class CellRuns:
    """One method, and the runs of its seeds.

    Attributes:
        key: unique in the experiment, and usable as a file's name.
        settings: the dotted keys of the spec that it sets.
        baseline: key of the cell that it is compared with; None of baselines and teachers.
        matched: key of the control with random masking at this cell's compute; None where its
            compute is the baseline's.
    """

    key: str
    label: str
    role: CellRole
    settings: Mapping[str, Any]
    baseline: str | None
    matched: str | None
    runs: tuple[SeedRun, ...]

    @property
    def finished(self) -> tuple[tuple[int, Run], ...]:
        """(pretraining seed, run) of every run with results."""
        return tuple((one.seed, one.run) for one in self.runs if one.run is not None)

    @property
    def column(self) -> Column:
        return Column(self.label, tuple(run for _, run in self.finished))

    @property
    def pretrained(self) -> bool:
        """False of the control that is a floor: the model as it was initialised."""
        steps = {run.spec.pretraining.budget.steps for _, run in self.finished}
        return not self.key.startswith(NO_PRETRAINING) and steps != {0}


def families(cells: Sequence[CellRuns]) -> dict[str, list[CellRuns]]:
    """The cells with finished runs, by the baseline that they are compared with; no teachers."""
    found: dict[str, list[CellRuns]] = {}
    for cell in cells:
        if cell.role != "teacher" and cell.finished:
            found.setdefault(cell.baseline or cell.key, []).append(cell)
    return found

"""The matrix of an experiment: cells x seeds, with the state of each run."""

from __future__ import annotations

from collections.abc import Hashable

from entromask.resources import OVER, Experiment, ExperimentCell, ExperimentCellRun
from frontend.parts.experiment.board import Item, board
from frontend.parts.experiment.plan_table import settings

_NONE = Item("–", title="no run of this seed")
_GONE = Item("–", below="deleted", title="its run was deleted; Retry makes it again")


def show_matrix(found: Experiment) -> None:
    """A row for each cell, a column for each seed."""
    seeds = seeds_of(found)
    head = ["Method", *(f"seed {seed}" for seed in seeds)]
    board(f"The runs of {found.name}", head, rows_of(found, seeds), key="matrix")


def seeds_of(found: Experiment) -> list[int]:
    """The seeds of the methods; a teacher's own, and those of runs that are gone, as well."""
    asked = found.spec.get("seeds") or []
    return sorted({*asked, *(run.seed for cell in found.cells for run in cell.runs)})


def rows_of(found: Experiment, seeds: list[int]) -> list[list[Item]]:
    labels = {cell.key: cell.label for cell in found.cells}
    several = sum(cell.role == "baseline" for cell in found.cells) > 1
    rows = []
    for cell in found.cells:
        by_seed = {run.seed: run for run in cell.runs}
        asked = set(found.spec.get("seeds") or []) if cell.role != "teacher" else set()
        of = f"against {labels.get(cell.baseline, cell.baseline)}" if cell.baseline else ""
        notes = [cell.role if cell.role != "method" else "", of if several else ""]
        below = ", ".join(note for note in notes if note) or None
        rows.append(
            [
                Item(cell.label, below=below, title=settings(cell.settings)),
                *(
                    _run(by_seed[seed]) if seed in by_seed else _GONE if seed in asked else _NONE
                    for seed in seeds
                ),
            ]
        )
    return rows


def _run(run: ExperimentCellRun) -> Item:
    below = None
    if run.status in ("running", "cancelling") and run.stage:
        below = f"{run.stage}{_share(run.fraction)}"
    elif run.reused:
        below = "reused"
    return Item(
        run.status,
        below=below,
        status=run.status,
        title=run.id,
        page="run",
        id=run.id,
    )


def _share(fraction: float | None) -> str:
    """How much of a stage is done; a stage that is waits for a worker to take the next one."""
    if fraction is None:
        return ""
    return " done" if fraction >= 1 else f" {100 * fraction:.0f} %"


def version_of(found: Experiment) -> Hashable:
    """Changes whenever one of its runs has ended or begins again; then there is more to report."""
    return (found.name, found.status, found.total, *map(_ended, found.cells))


def _ended(cell: ExperimentCell) -> Hashable:
    return (cell.key, *((run.id, run.status if run.status in OVER else "") for run in cell.runs))

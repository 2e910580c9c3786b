"""What a reader has to know before believing an experiment; the gravest first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite

from entromask.analysis.cautions import (
    ENOUGH_SEEDS,
    MATCHED,
    differing,
    identical,
    odd_sizes,
    scores_differ,
    unscored,
)
from entromask.analysis.cells import CellRuns, SeedRun
from entromask.analysis.costs import total_flops
from entromask.analysis.results import Results, result_of
from entromask.analysis.scores import score_rows
from entromask.analysis.wording import counted, joined, task_title
from entromask.glue.tasks import GLUE8
from entromask.presets import PROTOCOLS
from entromask.wire.summary import SummaryCost, SummaryMeasure

_LOST = ("failed", "cancelled")
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")


def notes(
    cells: Sequence[CellRuns],
    families: Mapping[str, Sequence[CellRuns]],
    measures: Sequence[SummaryMeasure],
    found: Results,
    costs: Mapping[str, SummaryCost | None],
) -> list[str]:
    """One sentence, or two, each."""
    said = [*_missing(cells)]
    for family in families.values():
        columns = [cell.column for cell in family]
        said += differing(columns)
        said += identical(columns)
        said += odd_sizes(columns, score_rows(columns, not scores_differ(columns)))
        said += _unranked(family, measures, found)
    said += _not_numbers(cells)
    said += _collapsed(cells, measures, found)
    said += _few_seeds(cells)
    said += _two_seeds(found)
    said += _rare_collapses(found)
    said += _compute(cells, costs)
    for family in families.values():
        said += unscored([cell.column for cell in family])
    said += _selecting(cells)
    said += _partial(measures)
    return list(dict.fromkeys(said))


def warnings(cells: Sequence[CellRuns]) -> list[str]:
    """What the runs say of themselves, each sentence once, with the methods that say it.

    Sentences that differ in their figures alone, as those of a method's seeds do, are told as one,
    with the range of each figure.
    """
    texts: dict[str, list[str]] = {}
    said_by: dict[str, dict[str, int]] = {}
    for cell in cells:
        for _, run in cell.finished:
            for warning in run.results.get("warnings") or ():
                text = " ".join(str(warning).split())
                shape = _NUMBER.sub("0", text)
                texts.setdefault(shape, []).append(text)
                counts = said_by.setdefault(shape, {})
                counts[cell.label] = counts.get(cell.label, 0) + 1
    seeds = {cell.label: len(cell.finished) for cell in cells}
    return [
        f"{', '.join(_of_seeds(label, n, seeds[label]) for label, n in said_by[shape].items())}: "
        + _with_ranges(alike)
        for shape, alike in texts.items()
    ]


def _with_ranges(alike: Sequence[str]) -> str:
    """The sentence that all of them are, with the lowest and the highest of each figure."""
    figures = zip(*map(_NUMBER.findall, alike), strict=True)
    ranges = iter([_range(values) for values in figures])
    return _NUMBER.sub(lambda _: next(ranges), alike[0])


def _range(figures: Sequence[str]) -> str:
    low, high = min(figures, key=_value), max(figures, key=_value)
    return low if _value(low) == _value(high) else f"{low}–{high}"


def _value(figure: str) -> float:
    return float(figure.replace(",", ""))


def _of_seeds(label: str, said: int, seeds: int) -> str:
    return label if said == seeds else f"{label} ({said} of {counted(seeds, 'seed')})"


def _missing(cells: Sequence[CellRuns]) -> list[str]:
    """The runs that are planned and have no results."""
    planned = [(cell, one) for cell in cells for one in cell.runs]
    lost = [(cell, one) for cell, one in planned if one.run is None]
    if not lost:
        return []
    by_cell: dict[str, list[SeedRun]] = {}
    for cell, one in lost:
        by_cell.setdefault(cell.label, []).append(one)
    where = "; ".join(
        f"{label} ({', '.join(f'seed {one.seed} {one.status}' for one in missing)})"
        for label, missing in by_cell.items()
    )
    waiting = any(one.status not in _LOST for _, one in lost)
    verb = "has" if len(lost) == 1 else "have"
    outcome = "no results yet" if waiting else "no results"
    return [f"{len(lost)} of {counted(len(planned), 'run')} {verb} {outcome}: {where}."]


def _unranked(
    family: Sequence[CellRuns], measures: Sequence[SummaryMeasure], found: Results
) -> list[str]:
    trained = [cell for cell in family if cell.pretrained]
    below, scored = [], 0
    for measure in measures:
        if measure.kind == "loss":
            continue
        above = [
            result.above_floors
            for cell in trained
            if (result := result_of(found[cell.key], measure.key)) is not None
        ]
        scored += bool(above)
        if above and not any(flag is not False for flag in above):
            below.append(measure.label)
    if not below:
        return []
    if len(below) == scored:
        return ["No ranking: no method is above the floors on any task."]
    return [f"No ranking, no method is above the floors: {'; '.join(below)}."]


def _not_numbers(cells: Sequence[CellRuns]) -> list[str]:
    return [
        f"{cell.label}, seed {seed}: the validation loss is not a number; it is in no mean."
        for cell in cells
        for seed, run in cell.finished
        if "loss" in (loss := run.results.get("validation") or {}) and not _finite(loss["loss"])
    ]


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and isfinite(value)


def _collapsed(
    cells: Sequence[CellRuns], measures: Sequence[SummaryMeasure], found: Results
) -> list[str]:
    said = []
    for cell in cells:
        if not cell.pretrained:
            continue
        where = [
            f"{measure.label} ({result.collapsed} of {result.n})"
            for measure in measures
            if measure.kind == "task"
            and (result := result_of(found.get(cell.key, []), measure.key)) is not None
            and result.collapsed
        ]
        if where:
            said.append(f"{cell.label}: {', '.join(where)}")
    if not said:
        return []
    return [f"Runs at or under the majority floor, counted and not dropped: {'; '.join(said)}."]


def _few_seeds(cells: Sequence[CellRuns]) -> list[str]:
    counts = {cell.label: len(cell.finished) for cell in cells if cell.role != "teacher"}
    few = {label: n for label, n in counts.items() if 0 < n < ENOUGH_SEEDS}
    if not few:
        return []
    if max(counts.values()) == 1:
        return [
            "One pretraining seed of each method proves nothing: there is no interval and no test. "
            f"Run at least {ENOUGH_SEEDS} seeds before believing a difference."
        ]
    return [
        f"Fewer than {ENOUGH_SEEDS} pretraining seeds: "
        + ", ".join(f"{label} (n = {n})" for label, n in few.items())
        + "."
    ]


def _two_seeds(found: Results) -> list[str]:
    differences = [one for of in found.values() for result in of for one in result.differences]
    if not any(one.n == 2 and one.paired and one.p is not None for one in differences):
        return []
    return [
        "With two pretraining seeds p < 0.05 comes by chance in up to 6% of the experiments "
        "without a difference, not in 5% (5.2 to 5.9% in simulations of 8,000 experiments each), "
        "and the intervals are as much too narrow."
    ]


def _rare_collapses(found: Results) -> list[str]:
    """What an interval of one method's mean leaves out, by the fewest seeds that have one."""
    counts = [result.n for of in found.values() for result in of if result.low is not None]
    if not counts:
        return []
    seeds = min(counts)
    # Of n runs none collapses with probability 0.05 where this share of all runs does.
    share = 1 - 0.05 ** (1 / seeds)
    return [
        "The intervals of one method's mean cover how its seeds vary, and no rare collapses: with "
        f"{counted(seeds, 'seed')} of which none has collapsed, up to {share:.0%} of the method's "
        "runs may (95% confidence)."
    ]


def _compute(cells: Sequence[CellRuns], costs: Mapping[str, SummaryCost | None]) -> list[str]:
    """The methods that cost more than their baseline and have no control of the same cost."""
    by_key = {cell.key: cell for cell in cells}
    more: list[str] = []
    apart: list[str] = []
    for cell in cells:
        if cell.role != "method" or cell.baseline is None:
            continue
        control = by_key.get(cell.matched or "")
        own, home = total_flops(costs.get(cell.key)), total_flops(costs.get(cell.baseline))
        if not own or not home:
            continue
        if not (control and control.finished):
            if own > (1 + MATCHED) * home:
                more.append(f"{cell.label} ({own / home:.2f} times)")
            continue
        matched = total_flops(costs.get(control.key))
        if matched and not 1 / (1 + MATCHED) <= own / matched <= 1 + MATCHED:
            apart.append(f"{cell.label} used {own / matched:.2f} times those of {control.label}")
    notes = []
    if more:
        verb = "uses" if len(more) == 1 else "use"
        notes.append(
            f"Compute is not matched: {joined(more)} {verb} more FLOPs than the baseline, and no "
            "finished control has as many."
        )
    if apart:
        notes.append(
            "The controls at equal compute are not equal once every pass is counted, the teacher's "
            f"stored scores included. In FLOPs: {joined(apart)}."
        )
    return notes


def _selecting(cells: Sequence[CellRuns]) -> list[str]:
    names = {run.spec.evaluation.protocol for cell in cells for _, run in cell.finished}
    return [
        f"The protocol {name} selects on the rows that are reported: its scores are too high, by "
        "how much nobody can say."
        for name in sorted(names)
        if PROTOCOLS[name].selects_on_reported
    ]


def _partial(measures: Sequence[SummaryMeasure]) -> list[str]:
    partial = [m for m in measures if m.kind == "average" and not set(GLUE8) <= set(m.tasks)]
    return [
        f"The GLUE mean is one of {len(m.tasks)} tasks ({', '.join(map(task_title, m.tasks))}): it "
        "compares only with a mean of the very same tasks."
        for m in partial
    ]

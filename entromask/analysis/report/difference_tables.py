"""The tables of differences: to the baseline at equal steps, to random masking at equal compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from entromask.analysis.cautions import MATCHED
from entromask.analysis.costs import total_flops
from entromask.analysis.measures import short_label
from entromask.analysis.power_words import seed_range
from entromask.analysis.report.document import Block, Cell, Paragraph, Table
from entromask.analysis.report.results_table import MARKS, NOTHING, SIGNIFICANT
from entromask.analysis.results import result_of
from entromask.analysis.table import Unit, Value
from entromask.analysis.wording import MINUS, show
from entromask.wire.summary import (
    ExperimentSummary,
    SummaryCell,
    SummaryDifference,
    SummaryMeasure,
)


def difference_blocks(summary: ExperimentSummary) -> list[Block]:
    """Every difference at equal steps, by measure; nothing where there is none."""
    rows: list[tuple[Cell, ...]] = []
    rules: list[int] = []
    several = len({cell.baseline for cell in summary.cells if cell.baseline}) > 1
    labels = {cell.key: cell.label for cell in summary.cells}
    for measure in summary.measures:
        found = _at(summary, measure, "steps")
        if found and rows:
            rules.append(len(rows))
        for cell, one in found:
            name = f"{cell.label} against {labels[one.to]}" if several else cell.label
            texts = [short_label(measure), name, _seeds(one), *_statistics(one, measure, "steps")]
            ranges = (one.seeds_for_difference_range, one.seeds_for_point_range)
            texts += [seed_range(ends) or NOTHING for ends in ranges]
            rows.append(tuple(map(Cell, texts)))
    if not rows:
        return []
    interval = f"{summary.level:.0%} interval"
    head = ("Measure", "Method", "n", "Difference", interval, "p", "p (Holm)", "P(better)")
    table = Table((*head, "seeds", "seeds, 1 point"), tuple(rows), left=2, rules=tuple(rules))
    baselines = list(dict.fromkeys(one.to for _, one in _all(summary, "steps")))
    names = ", ".join(labels[key] for key in baselines)
    text = (
        f"The method less the baseline ({names}), both trained for the same steps: points of score "
        "(× 100), or nats, of which less is better. n: pairs of runs with the same pretraining "
        "seed, or, with a u, the runs of the smaller side. P(better): the share of pairs in which "
        "the method is better. Seeds: pretraining seeds that would show a true difference of the "
        "size that was found, and one of 1 point, with a probability of 80% (before the "
        "correction), for the 5% and the 95% quantile of the estimated variance of the seeds."
    )
    return [Paragraph(text), table]


def compute_blocks(summary: ExperimentSummary) -> list[Block]:
    """Every difference to a control with random masking at the same compute."""
    by_key = {cell.key: cell for cell in summary.cells}
    rows: list[tuple[Cell, ...]] = []
    rules: list[int] = []
    for cell in summary.cells:
        found = [
            (measure, one)
            for measure in summary.measures
            for owner, one in _at(summary, measure, "compute")
            if owner.key == cell.key
        ]
        if found and rows:
            rules.append(len(rows))
        for measure, one in found:
            control = by_key[one.to]
            texts = [cell.label, short_label(measure), control.label, _ratio(cell, control)]
            texts += [_seeds(one), *_statistics(one, measure, "compute")]
            rows.append(tuple(map(Cell, texts)))
    same = [
        cell.label
        for cell in summary.cells
        if cell.role == "method" and cell.matched is None and _as_costly(cell, by_key)
    ]
    blocks: list[Block] = []
    if rows:
        interval = f"{summary.level:.0%} interval"
        head = (
            *("Method", "Measure", "Random control", "FLOPs ×", "n"),
            *("Difference", interval, "p", "p (Holm)", "P(better)"),
        )
        blocks += [
            Paragraph(
                "The method less random masking that was trained for more steps, until its FLOPs "
                "are those of the method with its teacher's; FLOPs ×: the method's by the "
                "control's."
            ),
            Table(head, tuple(rows), left=3, rules=tuple(rules)),
        ]
    if same and rows:
        blocks.append(
            Paragraph(
                f"The compute of {', '.join(same)} is the baseline's: the differences at equal "
                "steps are those at equal compute."
            )
        )
    return blocks


def _at(
    summary: ExperimentSummary, measure: SummaryMeasure, at: str
) -> list[tuple[SummaryCell, SummaryDifference]]:
    return [
        (cell, one)
        for cell in summary.cells
        if (result := result_of(cell.results, measure.key)) is not None
        for one in result.differences
        if one.at == at
    ]


def _all(summary: ExperimentSummary, at: str) -> list[tuple[SummaryCell, SummaryDifference]]:
    return [found for measure in summary.measures for found in _at(summary, measure, at)]


def _seeds(one: SummaryDifference) -> str:
    return str(one.n) if one.paired else f"{one.n}u"


def _statistics(one: SummaryDifference, measure: SummaryMeasure, at: str) -> Sequence[str]:
    unit = measure.unit
    interval = NOTHING
    if one.low is not None and one.high is not None:
        interval = f"{signed(one.low, unit)} to {signed(one.high, unit)}"
    mark = MARKS[at] if one.p_holm is not None and one.p_holm < SIGNIFICANT else ""
    better = one.probability_of_improvement
    return (
        signed(one.mean, unit),
        interval,
        show_p(one.p),
        show_p(one.p_holm) + mark,
        NOTHING if better is None else f"{better:.2f}",
    )


def signed(value: float, unit: Unit) -> str:
    """A difference with its sign; of scores in points."""
    text = show(Value(abs(value)), unit)
    return text if not text.strip("0.") else ("+" if value > 0 else MINUS) + text


def show_p(p: float | None) -> str:
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _as_costly(cell: SummaryCell, by_key: Mapping[str, SummaryCell]) -> bool:
    """Whether a method's FLOPs are its baseline's."""
    home = by_key.get(cell.baseline or "")
    own, other = (total_flops(one.cost if one else None) for one in (cell, home))
    return bool(own and other and abs(own / other - 1) <= MATCHED)


def _ratio(cell: SummaryCell, control: SummaryCell) -> str:
    own, other = total_flops(cell.cost), total_flops(control.cost)
    return f"{own / other:.2f}" if own and other else NOTHING

"""The content of a report, section by section."""

from __future__ import annotations

from datetime import UTC, datetime

from entromask.analysis.report.charts import curve_figures, forest_figures
from entromask.analysis.report.costs_table import cost_blocks
from entromask.analysis.report.difference_tables import compute_blocks, difference_blocks
from entromask.analysis.report.document import (
    Block,
    Bullets,
    Cell,
    Document,
    Figures,
    Paragraph,
    Section,
    Table,
)
from entromask.analysis.report.results_table import results_blocks
from entromask.analysis.wording import counted
from entromask.wire.summary import ExperimentSummary


def document(summary: ExperimentSummary) -> Document:
    """Everything that a summary says, in the order of a report; what is empty is left out."""
    sections: list[tuple[str, list[Block]]] = [
        ("Results", results_blocks(summary)),
        ("Before believing it", _notes(summary)),
        ("Differences to the baseline", [*difference_blocks(summary), *_forest(summary)]),
        ("At equal compute", compute_blocks(summary)),
        ("Power", [Paragraph(summary.power)] if summary.power else []),
        ("Learning curves", _curves(summary)),
        ("Cost of pretraining", cost_blocks(summary)),
        ("Methods", [Paragraph(summary.methods_paragraph)]),
        ("Warnings of the runs", [Bullets(tuple(summary.warnings))] if summary.warnings else []),
        ("Runs", _runs(summary)),
    ]
    return Document(
        summary.name,
        tuple(_lead(summary)),
        tuple(Section(title, tuple(blocks)) for title, blocks in sections if blocks),
    )


def _lead(summary: ExperimentSummary) -> list[str]:
    counts = summary.runs
    done = [f"{counts.succeeded} of {counted(counts.planned, 'run')} succeeded"]
    done += [f"{counts.failed} failed"] if counts.failed else []
    done += [f"{counts.cancelled} cancelled"] if counts.cancelled else []
    done += [f"{counts.unfinished} not finished"] if counts.unfinished else []
    when = ""
    if summary.created_at is not None:
        when = f", created {datetime.fromtimestamp(summary.created_at, UTC):%Y-%m-%d}"
    return [f"Experiment {summary.id}, {summary.status}{when}: {', '.join(done)}."]


def _notes(summary: ExperimentSummary) -> list[Block]:
    return [Bullets(tuple(summary.notes))] if summary.notes else []


def _forest(summary: ExperimentSummary) -> list[Block]:
    figures = forest_figures(summary)
    if not figures:
        return []
    text = f"Differences with their {summary.level:.0%} intervals: circles, to the baseline at "
    text += "equal steps; "
    if any(cell.matched for cell in summary.cells):
        text += "orange squares, to random masking at equal compute; "
    return [Figures(f"{text}filled where the corrected p is below 0.05.", figures)]


def _curves(summary: ExperimentSummary) -> list[Block]:
    figures = curve_figures(summary)
    if not figures:
        return []
    band = "The band is the range over seeds."
    if len(figures) > 1:
        band += " Beside each method its baseline: the blue line without dashes."
    rows = []
    for cell in summary.cells:
        if not cell.curve:
            continue
        first, middle, last = (cell.curve[i] for i in (0, len(cell.curve) // 2, -1))
        points = [
            f"{point.mean:.3f} at {point.step:,}"
            + (f" ({point.low:.3f}–{point.high:.3f})" if point.n > 1 else "")
            for point in (first, middle, last)
        ]
        rows.append((Cell(cell.label), *map(Cell, points)))
    return [
        Paragraph(
            "Loss on the common validation masks, in nats, by step: the mean over the pretraining "
            "seeds, and the range from the lowest to the highest of them."
        ),
        Figures(band, figures),
        Table(("Method", "First", "Middle", "Last"), tuple(rows)),
    ]


def _runs(summary: ExperimentSummary) -> list[Block]:
    rows: list[tuple[Cell, ...]] = []
    rules: list[int] = []
    for cell in summary.cells:
        rules += [len(rows)] if rows and cell.runs else []
        for run in cell.runs:
            texts = (cell.label, cell.role, str(run.seed), run.status, run.id or "–")
            rows.append(tuple(map(Cell, texts)))
    if not rows:
        return []
    head = ("Method", "Role", "Seed", "Status", "Run")
    return [Table(head, tuple(rows), left=len(head), rules=tuple(rules))]

"""The table of what each method's pretraining cost."""

from __future__ import annotations

from entromask.analysis.report.document import Block, Cell, Table
from entromask.analysis.report.results_table import NOTHING
from entromask.analysis.table import Unit, Value
from entromask.analysis.wording import show
from entromask.wire.summary import ExperimentSummary

_COLUMNS: tuple[tuple[str, str, Unit], ...] = (
    ("tokens", "Tokens", "count"),
    ("flops", "FLOPs", "flops"),
    ("scoring_flops", "Teacher's scores, FLOPs", "flops"),
    ("seconds", "Time", "seconds"),
    ("scoring_seconds", "Teacher's scores, time", "seconds"),
    ("tokens_per_second", "Tokens/s", "rate"),
)


def cost_blocks(summary: ExperimentSummary) -> list[Block]:
    """Means over the finished runs, with the ratio to the baseline; teachers included."""
    cells = [cell for cell in summary.cells if cell.cost is not None]
    columns = [
        column
        for column in _COLUMNS
        if any(getattr(cell.cost, column[0]) is not None for cell in cells)
    ]
    if not columns:
        return []
    rows = []
    for cell in cells:
        label = f"{cell.label} (teacher)" if cell.role == "teacher" else cell.label
        texts = [label]
        for key, _, unit in columns:
            value = getattr(cell.cost, key)
            text = show(Value(value), unit) if value else NOTHING if value is None else "0"
            ratio = cell.cost.relative.get(key) if cell.cost else None
            texts.append(text if not ratio else f"{text} (× {ratio:.2f})")
        rows.append(tuple(map(Cell, texts)))
    return [Table(("Method", *(head for _, head, _ in columns)), tuple(rows))]

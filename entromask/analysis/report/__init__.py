"""The report of an experiment: JSON, Markdown, CSV, LaTeX and a page of HTML. Without torch."""

from __future__ import annotations

from collections.abc import Callable

from entromask.analysis.report.content import document
from entromask.analysis.report.csv_lines import to_csv
from entromask.analysis.report.html import to_html
from entromask.analysis.report.latex import to_latex
from entromask.analysis.report.markdown import to_markdown
from entromask.errors import InputError
from entromask.wire.summary import ExperimentSummary, ReportFormat

__all__ = ["FORMATS", "render_report"]

_WRITERS: dict[str, Callable[[ExperimentSummary], str]] = {
    "json": lambda summary: summary.model_dump_json(indent=2) + "\n",
    "md": lambda summary: to_markdown(document(summary)),
    "csv": to_csv,
    "latex": lambda summary: to_latex(document(summary)),
    "html": lambda summary: to_html(document(summary)),
}
# Media type, and the ending of a file.
FORMATS: dict[ReportFormat, tuple[str, str]] = {
    "json": ("application/json", "json"),
    "md": ("text/markdown; charset=utf-8", "md"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "latex": ("application/x-tex; charset=utf-8", "tex"),
    "html": ("text/html; charset=utf-8", "html"),
}


def render_report(summary: ExperimentSummary, format: ReportFormat) -> str:
    """The report in one of the formats, ending in a newline.

    Raises:
        InputError: no such format.
    """
    if format not in _WRITERS:
        raise InputError(f"no report format '{format}'", f"the formats are {', '.join(_WRITERS)}")
    return _WRITERS[format](summary)

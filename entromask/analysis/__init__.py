"""Reading finished runs: comparisons, their rendering, warnings in words. Never imports torch."""

from entromask.analysis.compare import compare
from entromask.analysis.diagnostics import warnings_for
from entromask.analysis.render import render
from entromask.analysis.runs import Run, read_run

__all__ = ["Run", "compare", "read_run", "render", "warnings_for"]

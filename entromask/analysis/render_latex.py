r"""A comparison as the `tabular` of a paper: booktabs, the best in bold, the notes as comments."""

from __future__ import annotations

import re
from collections.abc import Sequence

from entromask.analysis.table import Comparison
from entromask.analysis.wording import (
    FLOORS,
    TITLES,
    foot,
    has_best,
    has_floors,
    row_label,
    show_floors,
    show_row,
)

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "{''}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    # Behind the end of a row LaTeX would take it for the beginning of an option.
    "[": "{[}",
    "]": "{]}",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
}
# A hyphen or an apostrophe before another one: LaTeX would make a dash or a quotation mark of them.
_SPECIAL = re.compile("-(?=-)|'(?=')|" + "|".join(map(re.escape, _ESCAPES)))
# What our own cells write in ASCII: a ratio, and a large number.
_TIMES = re.compile(r"\bx (?=\d)")
_POWER = re.compile(r"^(\d\.\d+)e([+-]\d+)(?= |$)")


def escape(text: str) -> str:
    """Text that LaTeX prints as it is, also in the OT1 encoding; letters of any script stay."""
    return _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], f"{found[0]}{{}}"), text)


def to_latex(comparison: Comparison) -> str:
    """A `tabular` without caption; it needs the package booktabs."""
    floors = has_floors(comparison)
    front = ["", *FLOORS] if floors else [""]
    count = len(front) + len(comparison.columns)
    heads = [*front, *(escape(column.label) for column in comparison.columns)]
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * (count - 1)}}}",
        r"\toprule",
        _line(heads),
    ]
    section = ""
    for row in comparison.rows:
        if row.section != section:
            section = row.section
            title = _TIMES.sub(r"$\\times$ ", escape(TITLES[section]))
            lines += [r"\midrule", rf"\multicolumn{{{count}}}{{l}}{{\textit{{{title}}}}} \\"]
        cells = [cell(text) for text in show_row(comparison, row)]
        if row.best is not None:
            cells[row.best] = rf"\textbf{{{cells[row.best]}}}"
        before = [cell(floor) for floor in show_floors(row)] if floors else []
        lines.append(_line([escape(row_label(row)), *before, *cells]))
    legend = ["Bold marks the best of a row that ranks."] if has_best(comparison) else []
    notes = [f"% {' '.join(note.split())}" for note in [*legend, *foot(comparison)]]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *notes]) + "\n"


def cell(text: str) -> str:
    """A cell of ours: escaped, with ratios and large numbers as mathematics."""
    text = _POWER.sub(lambda x: rf"${x[1]} \times 10^{{{int(x[2])}}}$", escape(text))
    return _TIMES.sub(r"$\\times$ ", text)


def _line(cells: Sequence[str]) -> str:
    return rf"{' & '.join(cells)} \\".lstrip()

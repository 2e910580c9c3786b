r"""A report as a LaTeX document that pdflatex compiles as it stands; its charts are left out."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from entromask.analysis.render_latex import cell as number_cell
from entromask.analysis.render_latex import escape
from entromask.analysis.report.document import (
    Block,
    Bullets,
    Cell,
    Document,
    Figures,
    Paragraph,
    Table,
)

_PREAMBLE = r"""\documentclass[10pt,a4paper]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{textcomp}
\usepackage[landscape,margin=1.5cm]{geometry}
\usepackage{array}
\usepackage{booktabs}
"""
# What a line of a table in \footnotesize holds, in letters; wider tables are cut into several.
_LINE = 200
_GAP = 3
# Of a table, that stand together on a page.
_ROWS = 27
# A column of words that is wider than this breaks its lines.
_LABEL = 34
_LETTER_CM = 0.16
_GREEK = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta"),
    *("theta", "iota", "kappa", "lambda", "mu", "nu", "xi"),
)
_SIGNS = {
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    **{chr(0x3B1 + i): rf"\ensuremath{{\{name}}}" for i, name in enumerate(_GREEK)},
    "π": r"\ensuremath{\pi}",
    "ρ": r"\ensuremath{\rho}",
    "σ": r"\ensuremath{\sigma}",
    "τ": r"\ensuremath{\tau}",
    "φ": r"\ensuremath{\phi}",
    "ω": r"\ensuremath{\omega}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "≈": r"\ensuremath{\approx}",
    "→": r"\ensuremath{\rightarrow}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "•": r"\textbullet{}",
    "\u00a0": "~",
    "\u00ad": "{}",
}
# ASCII, signs of Latin-1, and the letters that the encoding T1 has.
_IN_T1 = re.compile(
    "[\x20-\x7e\u00a1-\u00a9\u00ab-\u00ac\u00ae-\u00b1\u00b4-\u00b8\u00bb-\u00ff"
    "\u0102-\u0107\u010c-\u0111\u0118-\u011b\u011e\u011f\u0130\u0139\u013a\u013d\u013e"
    "\u0141-\u0144\u0147\u0148\u014a\u014b\u0150-\u0155\u0158-\u015b\u015e-\u0165"
    "\u016e-\u0171\u0178-\u017e]"
)


def to_latex(document: Document) -> str:
    """An article; it needs array, booktabs and geometry, and no picture."""
    lead = " ".join(map(escape, document.lead))
    parts = [rf"\section*{{{escape(document.title)}}}", lead]
    for section in document.sections:
        parts.append(rf"\subsection*{{{escape(section.title)}}}")
        parts += [text for block in section.blocks if (text := _block(block))]
    body = "\n\n".join(parts)
    return "\n".join(
        [
            _PREAMBLE + _declarations(body) + _SETTINGS,
            r"\begin{document}",
            body,
            r"\end{document}",
            "",
        ]
    )


_SETTINGS = r"""\setlength{\parindent}{0pt}
\setlength{\parskip}{4pt}
\setlength{\tabcolsep}{4pt}
\emergencystretch=3em
"""


def _declarations(body: str) -> str:
    """What pdflatex has no letter for: a sign, the letter without its accents, or its number."""
    strange = sorted({letter for letter in body if letter != "\n" and not _IN_T1.match(letter)})
    lines = [rf"\DeclareUnicodeCharacter{{{ord(x):04X}}}{{{_stand_in(x)}}}" for x in strange]
    return "".join(f"{line}\n" for line in lines)


def _stand_in(letter: str) -> str:
    if letter in _SIGNS:
        return _SIGNS[letter]
    if unicodedata.combining(letter):
        return "{}"
    plain = "".join(x for x in unicodedata.normalize("NFKD", letter) if x.isascii())
    return escape(plain) if plain.strip() else rf"{{[}}U+{ord(letter):04X}{{]}}"


def _block(block: Block) -> str:
    if isinstance(block, Paragraph):
        return escape(block.text)
    if isinstance(block, Bullets):
        # Behind \item a bracket would be taken for an option.
        items = [rf"\item {escape(item)}" for item in block.items]
        return "\n".join([r"\begin{itemize}", *items, r"\end{itemize}"])
    if isinstance(block, Figures):
        return ""
    return "\n\n".join(_table(block, columns) for columns in _parts(block))


def _parts(table: Table) -> list[list[int]]:
    """The columns of each part: the words in all of them, as many numbers as a line holds."""
    words = list(range(table.left))
    room = _LINE - sum(min(_width(table, i), _LABEL) + _GAP for i in words)
    parts: list[list[int]] = [[]]
    for column in range(table.left, len(table.head)):
        taken = sum(_width(table, i) + _GAP for i in parts[-1])
        if parts[-1] and taken + _width(table, column) + _GAP > room:
            parts.append([])
        parts[-1].append(column)
    return [words + part for part in parts]


def _width(table: Table, column: int) -> int:
    return max(len(table.head[column]), *(len(row[column].text) for row in table.rows))


def _table(table: Table, columns: Sequence[int]) -> str:
    """Tables of a few rows each, as they do not break over pages.

    longtable would break them, and align its columns only when LaTeX is run again.
    """
    starts = range(0, len(table.rows), _ROWS)
    return "\n\n".join(_part(table, columns, range(len(table.rows))[i : i + _ROWS]) for i in starts)


def _part(table: Table, columns: Sequence[int], rows: range) -> str:
    lines = [
        r"{\footnotesize",
        rf"\begin{{tabular}}{{{''.join(_column(table, i) for i in columns)}}}",
        r"\toprule",
        _line([escape(table.head[i]) for i in columns]),
        r"\midrule",
    ]
    for position in rows:
        if position in table.rules and position != rows.start:
            lines.append(r"\midrule")
        lines.append(_line([_cell(table.rows[position][i], i < table.left) for i in columns]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "}"])


def _column(table: Table, column: int) -> str:
    if column >= table.left:
        return "r"
    width = _width(table, column)
    if width <= _LABEL:
        return "l"
    return rf">{{\raggedright\arraybackslash}}p{{{_LABEL * _LETTER_CM:.1f}cm}}"


def _cell(cell: Cell, words: bool) -> str:
    text = escape(cell.text) if words else number_cell(cell.text)
    return rf"\textbf{{{text}}}" if cell.bold else text


def _line(cells: Sequence[str]) -> str:
    # In a column that breaks its lines \\ would only end one of them.
    return rf"{' & '.join(cells)} \tabularnewline".lstrip()

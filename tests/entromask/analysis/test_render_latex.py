"""The LaTeX of a comparison: what it prints is what was meant, in a table that is one."""

from __future__ import annotations

import random
import re

import pytest

from entromask.analysis import compare, render
from entromask.analysis.render_latex import escape
from tests.entromask.analysis import build

# What LaTeX prints for what it reads, the longest first; where nothing here fits, for a character
# that means something to it, the text is wrong.
PRINTED = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textasciigrave{}": "`",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textendash{}": "–",
    r"\textemdash{}": "—",
    r"\ldots{}": "…",
    r"$\times$": "×",
    r"$\pm$": "±",
    "{''}": "”",
    "{[}": "[",
    "{]}": "]",
    "$-$": "−",
    "---": "—",
    "--": "–",
    "''": "”",
    "{}": "",
    **{f"\\{character}": character for character in "&%$#_{}"},
}
SPECIAL = "\\&%$#_{}~^"
# In the old encoding of fonts these are other characters.
WRONG_IN_OT1 = '<>|"`'
ALPHABET = SPECIAL + WRONG_IN_OT1 + "[]-−–—±×…'!?,aé "


def printed(latex: str) -> str:
    text = ""
    while latex:
        found = next((token for token in PRINTED if latex.startswith(token)), latex[0])
        assert found in PRINTED or found not in SPECIAL + WRONG_IN_OT1 + "[]−–—±×…", latex
        text += PRINTED.get(found, found)
        latex = latex[len(found) :]
    return text


@pytest.mark.parametrize("character", [chr(code) for code in range(32, 127)] + list("−–—±×…é中"))
def test_every_character_is_printed_as_it_is(character: str) -> None:
    for text in (character, f"a{character}b", character * 2, character * 3):
        assert printed(escape(text)) == text.replace('"', "”")


def test_characters_in_any_order_are_printed_as_they_are() -> None:
    chance = random.Random(0)
    for _ in range(5_000):
        text = "".join(chance.choices(ALPHABET, k=8))
        assert printed(escape(text)) == text.replace('"', "”")


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the table; a cell over several columns as often."""
    body = text.partition("\\toprule\n")[2].partition("\\bottomrule")[0]
    lines = [line for line in body.splitlines() if line != r"\midrule"]
    assert all(line.endswith(r" \\") for line in lines)
    found = []
    for line in lines:
        wide = re.fullmatch(r"\\multicolumn\{(\d+)\}\{l\}\{(.*)\} \\\\", line)
        cells = re.split(r"(?<!\\)&", line.removesuffix(r" \\"))
        found.append([wide[2]] * int(wide[1]) if wide else [cell.strip() for cell in cells])
    return found


@pytest.mark.parametrize("tasks", [{}, {"rte": (0.5, 0.6), "cola": (-0.1, 0.0)}])
@pytest.mark.parametrize("baseline", [None, 1])
def test_every_row_has_as_many_cells_as_the_table_has_columns(
    tasks: dict[str, tuple[float, ...]], baseline: int | None
) -> None:
    names = ["a & b", r"c \\ d", "e_f%g"]
    found = [build.run(name, tasks, loss=4.0 + i) for i, name in enumerate(names)]
    text = render(compare(found, baseline), "latex")
    columns = re.search(r"\\begin\{tabular\}\{(l[r]+)\}", text)
    assert columns
    assert len(columns[1]) == 1 + 3 + 2 * bool(tasks)
    table = rows(text)
    assert {len(cells) for cells in table} == {len(columns[1])}
    assert [printed(cell) for cell in table[0][-3:]] == names
    for rule in (r"\toprule", r"\bottomrule", r"\end{tabular}"):
        assert text.count(rule + "\n") == 1
    sections = {row.section for row in compare(found).rows}
    assert text.count("\\midrule\n") == len(sections)
    assert "−" not in text.partition(r"\end{tabular}")[0]


def cells(text: str, label: str) -> list[str]:
    (found,) = [cells[1:] for cells in rows(text) if cells[0] == label]
    return found


def test_the_best_is_bold_and_large_numbers_are_powers() -> None:
    found = [
        build.run("a", {"rte": (0.60, 0.61, 0.62)}),
        build.run("b", {"rte": (0.56, 0.57, 0.58)}, flops=2.34e14),
    ]
    text = render(compare(found), "latex")
    assert cells(text, "rte") == ["52.7", "53.0", r"\textbf{61.0 $\pm$ 1.0}", r"57.0 $\pm$ 1.0"]
    assert cells(text, "FLOPs")[2:] == [r"$1.20 \times 10^{14}$", r"$2.34 \times 10^{14}$"]
    relative = render(compare(found, 0), "latex")
    assert cells(relative, "rte")[3] == r"$-$4.0 $\pm$ 1.4"
    assert cells(relative, "FLOPs")[3] == r"$\times$ 1.95"


def test_the_notes_are_comments_behind_the_table() -> None:
    found = [
        build.run("a", {"rte": (0.6,)}, warnings=["100 % odd\n& more"]),
        build.run("b", {"rte": (0.5,)}),
    ]
    comparison = compare(found)
    notes = render(comparison, "latex").partition("\\end{tabular}\n")[2].splitlines()
    assert notes == [
        "% Bold marks the best of a row that ranks.",
        *(f"% {note}" for note in comparison.notes),
        "% Warning, a: 100 % odd & more",
    ]
    # A caption and the float around it are the author's.
    assert "caption" not in render(comparison, "latex")

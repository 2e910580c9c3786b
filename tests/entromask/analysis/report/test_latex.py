"""The LaTeX report: a whole document, whatever the names of methods hold."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from entromask.analysis.report import render_report
from entromask.wire.summary import ExperimentSummary

PDFLATEX = shutil.which("pdflatex")


def test_environments_are_closed_in_their_order(any_summary: ExperimentSummary) -> None:
    text = render_report(any_summary, "latex")
    assert text.startswith("\\documentclass")
    open_: list[str] = []
    for begins, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if begins == "begin":
            open_.append(name)
        else:
            assert open_.pop() == name
    assert open_ == []
    assert text.endswith("\\end{document}\n")
    assert "includegraphics" not in text


def test_every_row_has_as_many_cells_as_its_table_has_columns(
    any_summary: ExperimentSummary,
) -> None:
    text = render_report(any_summary, "latex")
    found = re.findall(
        r"\\begin\{tabular\}\{([^\n]*)\}\n\\toprule\n(.*?)\\end\{tabular\}", text, flags=re.S
    )
    assert found
    for columns, body in found:
        count = len(re.sub(r">\{.*?arraybackslash\}p\{.*?\}", "p", columns))
        rows = [line for line in body.splitlines() if line.endswith(r"\tabularnewline")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {count}


def test_letters_that_pdflatex_lacks_are_declared(many: ExperimentSummary) -> None:
    text = render_report(many, "latex")
    assert r"\DeclareUnicodeCharacter{03B1}{\ensuremath{\alpha}}" in text
    assert r"\DeclareUnicodeCharacter{4E2D}{{[}U+4E2D{]}}" in text
    assert r"\DeclareUnicodeCharacter{0301}{{}}" in text
    assert r"\DeclareUnicodeCharacter{0127}" in text
    # é and ě are letters of T1.
    assert "{00E9}" not in text
    assert "{011B}" not in text


def test_names_are_words_and_not_numbers(many: ExperimentSummary) -> None:
    assert "\n" + r"a \& b\_c x 2 & 2 &" in render_report(many, "latex")


@pytest.mark.skipif(PDFLATEX is None, reason="there is no pdflatex")
def test_it_compiles_as_it_stands(any_summary: ExperimentSummary, tmp_path: Path) -> None:
    (tmp_path / "report.tex").write_text(render_report(any_summary, "latex"), encoding="utf-8")
    done = subprocess.run(
        [str(PDFLATEX), "-interaction=nonstopmode", "-halt-on-error", "report.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "report.pdf").is_file()
    # As much as the page has room for, and no more.
    assert not re.findall(r"Overfull \\hbox \((?:\d{2,})\.", done.stdout)

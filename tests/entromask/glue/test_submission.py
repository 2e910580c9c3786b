"""The ZIP for gluebenchmark.com: what is written, and what a check finds."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from entromask.glue.submission import FILES, check_submission, submission
from entromask.glue.tasks import GLUE9, TASKS

ROWS = {
    "CoLA.tsv": 1063,
    "SST-2.tsv": 1821,
    "MRPC.tsv": 1725,
    "STS-B.tsv": 1379,
    "MNLI-m.tsv": 9796,
    "MNLI-mm.tsv": 9847,
    "QNLI.tsv": 5463,
    "QQP.tsv": 390965,
    "RTE.tsv": 3000,
    "WNLI.tsv": 146,
    "AX.tsv": 1104,
}
NUMBERED = ("CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "QQP.tsv", "WNLI.tsv")
OF_TWO = ("QNLI.tsv", "RTE.tsv")


def answers() -> dict[str, list[float]]:
    """Every class in every file; of STS-B also numbers that are too small and too large."""
    found: dict[str, list[float]] = {}
    for file in FILES:
        classes = max(1, len(file.labels))
        found[file.name] = [row % classes for row in range(file.rows)]
    found["STS-B.tsv"] = [row / 100 - 2 for row in range(1379)]
    return found


@pytest.fixture(scope="module")
def content() -> bytes:
    return submission(answers())


def files_of(content: bytes) -> dict[str, list[str]]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {name: archive.read(name).decode().splitlines() for name in archive.namelist()}


def test_all_eleven_files_have_the_official_names_rows_and_words(content: bytes) -> None:
    assert check_submission(BytesIO(content)) == []
    files = files_of(content)
    assert {name: len(lines) - 1 for name, lines in files.items()} == ROWS
    for name, lines in files.items():
        assert lines[0] == "index\tprediction"
        index, words = zip(*(line.split("\t") for line in lines[1:]), strict=True)
        assert index == tuple(map(str, range(ROWS[name])))
        if name in NUMBERED:
            assert set(words) == {"0", "1"}
        elif name in OF_TWO:
            assert set(words) == {"entailment", "not_entailment"}
        elif name != "STS-B.tsv":
            assert set(words) == {"entailment", "neutral", "contradiction"}


def test_the_files_are_of_the_tasks_and_test_splits_of_the_table() -> None:
    assert {file.task for file in FILES} == {*GLUE9, "ax"}
    for task in {file.task for file in FILES}:
        of_task = [file for file in FILES if file.task == task]
        assert tuple(file.split for file in of_task) == TASKS[task].test
        assert {len(file.labels) for file in of_task} == {TASKS[task].labels}


def test_labels_have_the_order_of_the_hub(content: bytes) -> None:
    files = files_of(content)
    assert files["MNLI-m.tsv"][1:4] == ["0\tentailment", "1\tneutral", "2\tcontradiction"]
    assert files["RTE.tsv"][1:3] == ["0\tentailment", "1\tnot_entailment"]
    assert files["WNLI.tsv"][1:3] == ["0\t0", "1\t1"]


def test_a_similarity_is_clipped_to_0_and_5() -> None:
    values = [-0.4, 2.34567, 7.0, float("nan"), *[1.0] * 1375]
    lines = files_of(submission({"STS-B.tsv": values}))["STS-B.tsv"]
    assert lines[1:6] == ["0\t0.000", "1\t2.346", "2\t5.000", "3\t2.500", "4\t1.000"]


def test_what_is_missing_is_filled_and_the_bytes_are_the_same_each_time(content: bytes) -> None:
    filled = submission({})
    assert check_submission(BytesIO(filled)) == []
    assert all(
        len({line.split("\t")[1] for line in lines[1:]}) == 1 for lines in files_of(filled).values()
    )
    assert submission(answers()) == content


Lines = dict[str, list[str]]


def written(files: Lines, ending: str = "\n") -> BytesIO:
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, lines in files.items():
            archive.writestr(name, ending.join(lines) + ending)
    return content


def in_a_folder(files: Lines) -> Lines:
    return {f"glue/{name}" if name == "RTE.tsv" else name: rows for name, rows in files.items()}


def faults_of(name: str, lines: list[str]) -> list[str]:
    """What is wrong with one file; the others are not written."""
    faults = check_submission(written({name: lines}))
    assert sum(fault.endswith("is missing") for fault in faults) == len(FILES) - 1
    return [fault for fault in faults if fault.startswith(f"{name}: ")]


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[:-1], "rows, not"),
        (lambda rows: [*rows, "x"], "rows, not"),
        (lambda rows: ["id\tlabel", *rows[1:]], "the first line is 'id\\tlabel'"),
        (lambda rows: rows[1:], "the first line is"),
        (lambda rows: [rows[0], rows[2], rows[1], *rows[3:]], "row 0 has the index '1'"),
        (lambda rows: [*rows[:3], "2\tmaybe", *rows[4:]], "row 2 has the prediction 'maybe'"),
        (lambda rows: [*rows[:3], "2\t2.5x", *rows[4:]], "row 2 has the prediction '2.5x'"),
        (lambda rows: [*rows[:3], "2", *rows[4:]], "row 2 has 1 fields"),
    ],
)
def test_a_fault_in_any_file_is_found(
    name: str, change: Callable[[list[str]], list[str]], words: str, small: Lines
) -> None:
    assert faults_of(name, small[name]) == []
    faults = faults_of(name, change(small[name]))
    assert faults
    assert any(words in fault for fault in faults)


@pytest.fixture(scope="module")
def small(content: bytes) -> Lines:
    return files_of(content)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda files: {n: rows for n, rows in files.items() if n != "AX.tsv"},
            "AX.tsv is missing",
        ),
        (in_a_folder, "glue/RTE.tsv does not belong there"),
        (lambda files: {**files, "notes.txt": ["x"]}, "notes.txt does not belong there"),
    ],
)
def test_names_are_checked(small: Lines, change: Callable[[Lines], Lines], words: str) -> None:
    short = {name: lines[:2] for name, lines in small.items()}
    faults = [f for f in check_submission(written(change(short))) if "rows, not" not in f]
    assert words in faults[-1]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("STS-B.tsv", "nan"),
        ("STS-B.tsv", "5.1"),
        ("STS-B.tsv", "-0.1"),
        ("RTE.tsv", "neutral"),
        ("CoLA.tsv", "2"),
        ("QNLI.tsv", "1"),
        ("AX.tsv", "not_entailment"),
    ],
)
def test_a_word_of_another_task_is_found(small: Lines, name: str, word: str) -> None:
    [fault] = faults_of(name, [*small[name][:1], f"0\t{word}", *small[name][2:]])
    assert f"row 0 has the prediction '{word}'" in fault


def test_line_ends_of_windows_and_what_is_no_zip_are_found(small: Lines, tmp_path: Path) -> None:
    assert check_submission(written({"RTE.tsv": small["RTE.tsv"]}, "\r\n"))[-1].startswith(
        "RTE.tsv: "
    )
    (tmp_path / "x.zip").write_bytes(b"PK no zip")
    [fault] = check_submission(tmp_path / "x.zip")
    assert "not a ZIP file" in fault
    [fault] = check_submission(tmp_path / "missing.zip")
    assert "missing.zip" in fault

"""For any text, in any format, packing and layout: what is read is what was written.

Or the file is refused with its name and line. The files are written by other libraries.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from entromask.errors import InputError
from entromask.glue.data import load_for
from entromask.spec import Evaluation
from entromask.text.files import read_documents
from entromask.text.folders import corpus_files
from tests.entromask.text.containers import (
    FORMATS,
    LINE_ENDS,
    PACKINGS,
    pack,
    save_to_disk,
    table,
    unicode,
)

bounded = settings(max_examples=80, deadline=None, derandomize=True, database=None)

# What formats, encodings and line readers trip over, beside letters of several scripts.
_ODD = [*"\"',\t\n\r \\{}[]\x0b\x0c\x1c\x85\xa0\ufeff\u2028\u2029\ud83d\ude00\udfff\ufffd", "😀"]
_LETTERS = [*"abc 東京ひらカナไทยहिन्दी عربي tiếng ệ", '""', "\r\n", "\r\r\n", "e\u0301", "a,b"]
characters = st.one_of(
    st.characters(exclude_categories=["Cs"]), st.sampled_from(_ODD), st.sampled_from(_LETTERS)
)
texts = st.lists(st.lists(characters, max_size=12).map("".join), min_size=1, max_size=9)


def representable(documents: list[str], suffix: str) -> list[str]:
    """A .tsv file has neither tabs nor line ends in a field."""
    if suffix == ".tsv":
        return [re.sub(r"[\t\r\n]", " ", text) for text in documents]
    return documents


def documents_of(path: Path) -> list[str]:
    files = corpus_files(path)
    return [part.text for file in files.train for part in read_documents(file, "text")]


def expected(documents: list[str]) -> list[str]:
    return [text for text in (unicode(text).strip() for text in documents) if text]


def check_refusal(error: InputError, raw: list[bytes], folder: Path) -> None:
    """Only what is no text may be refused, and with its file and line."""
    broken = any(b"\0" in content or _undecodable(content) for content in raw)
    assert broken, error.message
    assert str(folder) in error.message
    assert re.search(r"line [\d,]+", error.message)


def _undecodable(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


@bounded
@given(
    documents=texts,
    packing=st.sampled_from(PACKINGS),
    members=st.integers(1, 3),
    end=st.sampled_from(LINE_ENDS),
    layout=st.sampled_from(["file", "train", "shards", "folder"]),
)
def test_the_documents_of_a_table_are_those_that_were_written(
    documents: list[str], packing: str, members: int, end: str, layout: str
) -> None:
    for suffix in FORMATS:
        check_table(representable(documents, suffix), suffix, packing, members, end, layout)


def check_table(
    documents: list[str], suffix: str, packing: str, members: int, end: str, layout: str
) -> None:
    middle = len(documents) // 2
    parts = [documents] if layout in ("file", "train") else [documents[:middle], documents[middle:]]
    names = {
        "file": ["any"],
        "train": ["train"],
        "shards": ["train-00000-of-00002", "train-00001-of-00002"],
        "folder": ["a", "b"],
    }[layout]
    with tempfile.TemporaryDirectory() as place:
        folder, raw = Path(place), []
        for name, part in zip(names, parts, strict=True):
            raw.append(table(suffix, [{"id": 1, "text": text} for text in part], end))
            file = folder / f"{name}{suffix}{packing}"
            file.write_bytes(pack(raw[-1], packing, members))
        try:
            read = documents_of(file if layout == "file" else folder)
        except InputError as error:
            check_refusal(error, raw, folder)
        else:
            assert read == expected(documents)


@bounded
@given(documents=texts, cut=st.integers(0, 9))
def test_the_documents_of_a_saved_data_set_are_those_that_were_written(
    documents: list[str], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = save_to_disk(Path(place) / "saved", [documents[:cut], documents[cut:]])
        assert documents_of(folder) == expected(documents)


_lines = st.lists(
    st.lists(characters, max_size=9).map(lambda parts: re.sub(r"[\r\n]", "", "".join(parts))),
    min_size=1,
    max_size=4,
)


@bounded
@given(
    documents=st.lists(_lines, min_size=1, max_size=6),
    packing=st.sampled_from(PACKINGS),
    members=st.integers(1, 3),
    mark=st.booleans(),
)
def test_the_documents_of_plain_text_are_its_blocks_of_lines(
    documents: list[list[str]], packing: str, members: int, mark: bool
) -> None:
    for end in (*LINE_ENDS, "\r\r\n"):
        check_plain(documents, packing, members, end, mark)


def check_plain(
    documents: list[list[str]], packing: str, members: int, end: str, mark: bool
) -> None:
    blocks = [[line for line in lines if line and not line.isspace()] for lines in documents]
    blocks = [lines for lines in blocks if lines]
    content = (end + end).join(end.join(lines) for lines in blocks) + end
    raw = content.encode("utf-8", "surrogatepass")
    if mark or content.startswith("\ufeff"):
        raw = b"\xef\xbb\xbf" + raw
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / f"any.txt{packing}"
        file.write_bytes(pack(raw, packing, members))
        try:
            read = documents_of(file)
        except InputError as error:
            check_refusal(error, [raw], file)
        else:
            assert read == ["\n".join(lines).strip() for lines in blocks]


@bounded
@given(
    rows=texts,
    packing=st.sampled_from(PACKINGS),
    end=st.sampled_from(LINE_ENDS),
)
def test_the_rows_of_a_task_are_those_that_were_written(
    rows: list[str], packing: str, end: str
) -> None:
    for suffix in FORMATS:
        check_task(representable(rows, suffix), suffix, packing, end)


def check_task(rows: list[str], suffix: str, packing: str, end: str) -> None:
    labelled: list[dict[str, Any]] = [
        {"label": number % 2, "text": text} for number, text in enumerate(rows)
    ]
    raw = table(suffix, labelled, end)
    with tempfile.TemporaryDirectory() as place:
        for split in ("train", "validation"):
            file = Path(place) / f"{split}{suffix}{packing}"
            file.write_bytes(pack(raw, packing))
        task = {"path": place, "columns": ["text"], "labels": 2}
        evaluation = Evaluation.model_validate({"tasks": ["mine"], "user_tasks": {"mine": task}})
        try:
            data = load_for(evaluation, "mine")
        except InputError as error:
            check_refusal(error, [raw], Path(place))
        else:
            for split in ("train", "validation"):
                assert data.splits[split]["text"] == [unicode(text) for text in rows]
                assert data.references(split) == [row["label"] for row in labelled]
            if suffix in (".jsonl", ".json"):
                lost = sum(
                    unicode(text).count("\ufffd") - text.count("\ufffd")  # those that were written
                    for text in rows
                )
                assert data.notes.replaced_characters == 2 * lost  # in both splits

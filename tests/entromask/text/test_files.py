"""Reading .txt, .jsonl and .parquet, plain and .gz, and what is said of broken ones."""

from __future__ import annotations

import gzip
import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from entromask.errors import InputError
from entromask.text.documents import LONGEST
from entromask.text.files import read_documents

DOCUMENTS = ["The first document.\nIt has two lines.", "Zürich – naïve 東京.", "The third one."]


def texts(file: Path, column: str = "text") -> list[str]:
    return [document.text for document in read_documents(file, column)]


def refused(file: Path, column: str = "text") -> str:
    with pytest.raises(InputError) as caught:
        texts(file, column)
    assert caught.value.hint
    assert str(file) in caught.value.message
    return caught.value.message


def write(file: Path, documents: list[str | None], column: str = "text") -> Path:
    """Writes documents in the format that the suffix tells."""
    name = file.name.removesuffix(".gz")
    plain = file.with_name(name)
    if name.endswith(".txt"):
        plain.write_text("\n\n".join(text or "" for text in documents) + "\n", encoding="utf-8")
    elif name.endswith(".jsonl"):
        rows = [json.dumps({"id": i, column: text}) for i, text in enumerate(documents)]
        plain.write_text("\n".join(rows) + "\n", encoding="utf-8")
    else:
        pq.write_table(pa.table({"id": range(len(documents)), column: documents}), plain)
    if name != file.name:
        file.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    return file


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_documents(tmp_path: Path, suffix: str, packed: str) -> None:
    file = write(tmp_path / f"corpus{suffix}{packed}", list(DOCUMENTS))
    assert texts(file) == DOCUMENTS


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_any_column_can_hold_the_text_and_null_is_skipped(tmp_path: Path, suffix: str) -> None:
    file = write(tmp_path / f"corpus{suffix}", ["one", None, "  ", "two"], column="body")
    assert texts(file, "body") == ["one", "two"]
    assert "no column 'text'; it has: id, body" in refused(file)


def test_positions_grow_up_to_the_size_of_the_file(tmp_path: Path) -> None:
    for name in ("a.txt", "a.txt.gz", "a.jsonl", "a.parquet"):
        file = write(tmp_path / name, [f"document {i} " * 50 for i in range(2000)])
        positions = [document.position for document in read_documents(file, "text")]
        assert positions == sorted(positions)
        assert positions[-1] == file.stat().st_size


def test_a_byte_order_mark_and_windows_line_ends_are_no_text(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n\r\nthree\r\n")
    assert texts(file) == ["one\ntwo", "three"]


def test_a_book_without_blank_lines_is_read_in_bounded_parts(tmp_path: Path) -> None:
    lines = [f"line {number} of a very long book" for number in range(20_000)]
    file = tmp_path / "book.txt"
    file.write_text("\n".join(lines))
    parts = texts(file)
    assert max(map(len, parts)) <= LONGEST
    assert [line for part in parts for line in part.split("\n")] == lines


def test_a_line_without_end_is_cut_at_white_space_in_flat_memory(tmp_path: Path) -> None:
    words = [f"wörd{number}" for number in range(1_000_000)]
    file = tmp_path / "line.txt"
    file.write_text(" ".join(words), encoding="utf-8")
    found: Iterator[str] = (
        word for document in read_documents(file, "") for word in document.text.split()
    )
    tracemalloc.start()
    same = all(a == b for a, b in zip(found, words, strict=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert same
    assert peak < 3_000_000 < file.stat().st_size


def test_a_line_without_white_space_is_cut_between_characters(tmp_path: Path) -> None:
    file = tmp_path / "line.txt"
    file.write_text("x" + "東" * 100_000, encoding="utf-8")
    assert "".join(texts(file)).replace("\n", "") == "x" + "東" * 100_000


@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_a_byte_that_is_not_utf8_is_named_with_offset_and_line(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}"
    file.write_bytes(b'{"text": "fine"}\n' * 3 + b'{"text": "caf\xe9"}\n')
    assert "is not UTF-8: byte 0xe9 at offset 64 (line 4)" in refused(file)


def test_a_binary_file_is_named_with_the_place_of_its_nul(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"some text\nand then\0 more")
    assert "has a NUL byte at offset 18 (line 2)" in refused(file)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{'text': 1}", "line 2 is not JSON: Expecting property name"),
        ("[1, 2]", "line 2 holds a list, not an object"),
        ('{"other": "x"}', "line 2 has no column 'text'; it has: other"),
        ('{"text": 5}', "line 2: column 'text' holds a int, not a text"),
        ("[" * 100_000, "line 2 is not JSON"),
    ],
)
def test_a_bad_json_line_is_named(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "good"}\n' + line + "\n")
    assert said in refused(file)


def test_a_column_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", ["one"])
    assert "column 'id' holds int64, not text" in refused(file, "id")


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.parquet"
    file.write_bytes(b"this is no parquet file at all")
    assert "is not a parquet file" in refused(file)
    whole = write(tmp_path / "b.parquet", [f"text {i}" for i in range(5000)])
    whole.write_bytes(whole.read_bytes()[:-2000])
    assert "is not a parquet file" in refused(whole)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".parquet"])
def test_a_broken_gzip_file_is_refused(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a{suffix}.gz"
    file.write_bytes(b"not packed at all")
    assert "is not a whole gzip file" in refused(file)
    whole = write(tmp_path / f"b{suffix}.gz", [os.urandom(64).hex() for _ in range(2000)])
    whole.write_bytes(whole.read_bytes()[:50_000])
    assert "is not a whole gzip file" in refused(whole)


def test_a_broken_tail_shows_only_when_it_is_reached(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"one\n\ntwo\n\n\xff\n")
    documents = read_documents(file, "text")
    assert [next(documents).text, next(documents).text] == ["one", "two"]
    with pytest.raises(InputError, match="offset 10"):
        next(documents)

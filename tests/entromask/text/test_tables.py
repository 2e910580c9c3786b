"""Columns of tables: nested ones, missing ones, values of other kinds; and packed files."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from entromask.errors import InputError
from entromask.text.files import read_documents
from entromask.text.tables import read_table
from tests.entromask.text.containers import FORMATS, pack, table

NESTED = [
    {"id": 1, "body": {"text": "one", "more": {"deep": "a"}}},
    {"id": 2, "body": None},
    {"id": 3, "body": {"text": None, "more": None}},
    {"id": 4, "body": {"text": "four", "more": {"deep": "d"}}},
]


def column(file: Path, name: str) -> list[Any]:
    return [row.values[0] for row in read_table(file, [name], "hint")]


def refused(file: Path, name: str = "text") -> str:
    with pytest.raises(InputError) as caught:
        column(file, name)
    assert str(file) in caught.value.message
    return caught.value.message


def written(file: Path, rows: list[dict[str, Any]]) -> Path:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), file)
    else:
        file.write_bytes(table(file.suffix, rows))
    return file


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_a_nested_column_is_read(tmp_path: Path, suffix: str) -> None:
    file = written(tmp_path / f"a{suffix}", NESTED)
    assert column(file, "body.text") == ["one", None, None, "four"]
    assert column(file, "body.more.deep") == ["a", None, None, "d"]
    assert "no column 'body.none'; it has: id, body.text, body.more.deep" in refused(
        file, "body.none"
    )
    assert "no column 'text'" in refused(file)


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_a_column_with_a_dot_in_its_name_wins(tmp_path: Path, suffix: str) -> None:
    rows = [{"body": {"text": "nested"}, "body.text": "literal", "a.b": {"c": "dotted"}}]
    file = written(tmp_path / f"a{suffix}", rows)
    assert column(file, "body.text") == ["literal"]
    assert column(file, "a.b.c") == ["dotted"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_several_columns_come_in_the_order_asked_for(tmp_path: Path, suffix: str) -> None:
    rows = [{"c": "c1", "a": "a1", "b": "b1"}, {"c": "c2", "a": "a2", "b": "b2"}]
    file = written(tmp_path / f"a{suffix}", rows)
    read = list(read_table(file, ["a", "c"], "hint"))
    assert [row.values for row in read] == [["a1", "c1"], ["a2", "c2"]]


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_rows_that_do_not_fit_the_header_are_named(tmp_path: Path, suffix: str) -> None:
    comma = {".csv": ",", ".tsv": "\t"}[suffix]
    file = tmp_path / f"a{suffix}"
    file.write_text(f"text{comma}id\n\none{comma}1\ntwo\n")
    assert "line 4 has 1 fields and the header has 2" in refused(file)
    file.write_text(f"text{comma}text\none{comma}1\n")
    assert "has 2 columns 'text'" in refused(file)


def test_a_long_list_of_columns_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(",".join(f"column{number}" for number in range(500)) + "\n")
    assert len(refused(file)) < 500


@pytest.mark.parametrize(
    ("suffix", "origins"),
    [
        (".jsonl", ["line 1", "line 2"]),
        (".json", ["line 2", "line 6"]),
        (".csv", ["line 2", "line 3"]),
        (".tsv", ["line 2", "line 3"]),
        (".parquet", ["row 1", "row 2"]),
    ],
)
def test_each_row_tells_where_it_is(tmp_path: Path, suffix: str, origins: list[str]) -> None:
    file = written(tmp_path / f"a{suffix}", [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}])
    assert [row.origin for row in read_table(file, ["text"], "hint")] == origins


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("suffix", [".txt", *FORMATS])
def test_a_packed_file_that_is_cut_off_is_refused(
    tmp_path: Path, suffix: str, packing: str
) -> None:
    content = table(suffix, [{"text": f"text {number}"} for number in range(3000)])
    file = tmp_path / f"a{suffix}{packing}"
    file.write_bytes(pack(content, packing)[:-20])
    with pytest.raises(InputError, match=r"is not a whole (gzip|zstd) file"):
        list(read_documents(file, "text"))
    file.write_bytes(b"not packed")
    with pytest.raises(InputError, match=r"is not a whole (gzip|zstd) file"):
        list(read_documents(file, "text"))


def test_a_field_of_any_length_and_a_field_over_many_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    long, tall = "word " * 60_000, "\n".join(f"line {number}" for number in range(40))
    file.write_text(f'text\n"{long}"\nshort\n"{tall}"\n')
    documents = list(read_documents(file, "text"))
    assert "".join(part.text for part in documents).replace(" ", "").startswith("word" * 60_000)
    assert documents[-1].text == tall
    assert [part.origin for part in documents if part.long_field] == ["a.csv, line 4"]
    assert sum(part.begins for part in documents) == 3


def test_booleans_and_numbers_keep_their_kind(tmp_path: Path) -> None:
    file = written(tmp_path / "a.parquet", [{"label": True}, {"label": False}])
    assert column(file, "label") == [True, False]
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"label": 1.5}))
    assert column(file, "label") == [1.5]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.json.zst", "a.csv.gz", "a.tsv", "a.csv"])
def test_a_large_file_is_read_in_little_memory(tmp_path: Path, name: str) -> None:
    suffix = f".{name.split('.')[1]}"
    texts = [f"document {number} of many, long enough to count\n\n" for number in range(100_000)]
    if suffix == ".tsv":
        texts = [text.strip() for text in texts]
    content = "".join(texts).encode() if suffix == ".txt" else b""
    file = tmp_path / name
    content = content or table(suffix, [{"text": text} for text in texts])
    file.write_bytes(pack(content, file.suffix))
    tracemalloc.start()
    count = sum(1 for _ in read_documents(file, "text"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == len(texts)
    assert peak < 2_000_000 < len(content)

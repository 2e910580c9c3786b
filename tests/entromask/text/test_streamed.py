"""Streaming with `datasets`: from a local data set folder, and without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from entromask.errors import DependencyMissingError, InputError
from entromask.spec import HubCorpus
from entromask.text.corpus import open_corpus
from tests.entromask.text.test_files import write


def hub(name: Path | str, **parts: Any) -> HubCorpus:
    return HubCorpus(source="hub", name=str(name), **parts)


def refused(corpus: HubCorpus) -> str:
    with pytest.raises(InputError) as caught:
        open_corpus(corpus)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_data_set_is_streamed_from_any_column(tmp_path: Path, suffix: str) -> None:
    texts: list[str | None] = [f"row {number}" if number % 10 else None for number in range(200)]
    write(tmp_path / f"train{suffix}", texts, column="body")
    corpus = open_corpus(hub(tmp_path, column="body"))
    train, validation = (list(corpus.documents(split)) for split in ("train", "validation"))
    assert sorted(train + validation) == sorted(text for text in texts if text)
    assert len(validation) == 9
    assert corpus.name == f"{tmp_path} (train)"


def test_the_fingerprint_tells_data_sets_splits_and_columns_apart(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        rows = [json.dumps({"a": f"{split} {number}", "b": "x"}) for number in range(9)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    corpora = [
        hub(tmp_path, column="a"),
        hub(tmp_path, column="b"),
        hub(tmp_path, column="a", split="validation"),
    ]
    fingerprints = [open_corpus(corpus).fingerprint for corpus in corpora]
    assert len(set(fingerprints)) == 3
    assert open_corpus(corpora[0]).fingerprint == fingerprints[0]
    (tmp_path / "train.jsonl").write_text('{"a": "other", "b": "x"}\n')
    assert open_corpus(corpora[0]).fingerprint != fingerprints[0]


def test_a_missing_column_split_or_config_is_named(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ["one", "two"], column="body")
    assert "has no column 'text'; it has: id, body" in refused(hub(tmp_path))
    assert "column 'id' holds a int, not a text" in refused(hub(tmp_path, column="id"))
    assert "split 'dev' cannot be opened" in refused(hub(tmp_path, split="dev"))
    assert "config 'other'" in refused(hub(tmp_path, config="other"))


def test_a_broken_file_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "train.jsonl").write_text('{"text": nothing that is JSON}\n')
    assert "cannot be read: JSON parse error" in refused(hub(tmp_path))
    assert capfd.readouterr() == ("", "")


def test_without_a_network_the_data_set_is_named() -> None:
    with pytest.raises(DependencyMissingError) as caught:
        open_corpus(hub("nobody/has-this-data-set"))
    assert "the data set 'nobody/has-this-data-set' is not on this machine" in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_nested_column_is_streamed(tmp_path: Path, suffix: str) -> None:
    rows = [{"id": row, "body": {"text": f"text {row}", "n": 1}} for row in range(30)]
    rows[7]["body"] = None
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    else:
        (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))
    corpus = open_corpus(hub(tmp_path, column="body.text"))
    [(_, documents)] = corpus.passes()
    assert [one.text for one in documents] == [f"text {row}" for row in range(30) if row != 7]
    assert "has no column 'body.none'" in refused(hub(tmp_path, column="body.none"))

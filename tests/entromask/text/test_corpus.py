"""Opening corpora: splits that never overlap, fingerprints of the content, early refusals."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from entromask import spec
from entromask.errors import InputError
from entromask.settings import settings
from entromask.text.corpus import Corpus, open_corpus
from tests.entromask.text.test_files import write


def local(path: Path, column: str = "text") -> Corpus:
    return open_corpus(spec.LocalCorpus(source="local", path=str(path), column=column))


def refused(path: Path, column: str = "text") -> str:
    with pytest.raises(InputError) as caught:
        local(path, column)
    assert caught.value.hint
    assert not (settings().cache / "hashes").exists(), "nothing is written before the check"
    return caught.value.message


def splits(corpus: Corpus) -> tuple[list[str], list[str]]:
    return list(corpus.documents("train")), list(corpus.documents("validation"))


def test_builtin_holds_out_documents_and_loses_none() -> None:
    corpus = open_corpus(spec.BuiltinCorpus())
    train, validation = splits(corpus)
    assert not set(train) & set(validation)
    assert 0.04 < len(validation) / (len(train) + len(validation)) < 0.06
    assert len(train) + len(validation) == corpus.size
    assert corpus.fingerprint == open_corpus(spec.BuiltinCorpus()).fingerprint


def test_held_out_documents_stay_held_out_when_text_is_added(home: Path, tmp_path: Path) -> None:
    documents: list[str | None] = [f"document number {number}" for number in range(300)]
    few = splits(local(write(tmp_path / "few.txt", documents[:200])))
    many = splits(local(write(tmp_path / "many.txt", documents)))
    assert sorted(few[0] + few[1]) == sorted(str(text) for text in documents[:200])
    assert len(few[1]) == 10
    assert set(few[0]) < set(many[0])
    assert set(few[1]) < set(many[1])


def test_an_only_document_still_gives_validation_text(home: Path, tmp_path: Path) -> None:
    lines = [f"this is line {number}" for number in range(200)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    train, validation = splits(local(tmp_path / "a.txt"))
    train_lines = [line for text in train for line in text.split("\n")]
    validation_lines = [line for text in validation for line in text.split("\n")]
    assert sorted(train_lines + validation_lines) == sorted(lines)
    assert 1 <= len(validation_lines) <= 30


def test_a_folder_brings_its_own_validation_text(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.txt", [f"train {number}" for number in range(50)])
    write(tmp_path / "validation.jsonl.gz", ["validation a", "validation b"])
    corpus = local(tmp_path)
    train, validation = splits(corpus)
    assert len(train) == 50
    assert validation == ["validation a", "validation b"]
    assert not corpus.holds_out


def test_a_folder_without_validation_text_holds_some_out(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [f"train {number}" for number in range(50)])
    train, validation = splits(local(tmp_path))
    assert len(train) + len(validation) == 50
    assert len(validation) in (2, 3)


def test_the_fingerprint_is_of_the_content_not_of_the_place(home: Path, tmp_path: Path) -> None:
    first = local(write(tmp_path / "a.txt", ["one", "two", "three"]))
    copy = local(write(tmp_path / "b.txt", ["one", "two", "three"]))
    other = local(write(tmp_path / "c.txt", ["one", "two", "four!"]))
    assert first.fingerprint == copy.fingerprint != other.fingerprint


def test_the_fingerprint_follows_a_change_of_the_file(home: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", ["one", "two", "three"])
    before = local(file).fingerprint
    assert local(file).fingerprint == before
    write(file, ["one", "two", "seven"])
    os.utime(file, ns=(1, 1))
    assert local(file).fingerprint != before


def test_the_column_is_part_of_the_fingerprint(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"a": "one", "b": "two"}\n' * 3)
    assert local(file, "a").fingerprint != local(file, "b").fingerprint


def test_a_missing_path_is_refused(home: Path, tmp_path: Path) -> None:
    assert refused(tmp_path / "none.txt") == f"no corpus at {tmp_path / 'none.txt'}"


@pytest.mark.parametrize("name", ["a.doc", "a.txt.zip", "a", "a.gz"])
def test_an_unknown_suffix_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text")
    assert "allowed: .txt, .jsonl, .json, .csv, .tsv, .parquet, each also .gz or .zst" in refused(
        tmp_path / name
    )


def test_an_empty_file_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    assert refused(tmp_path / "a.txt").endswith("a.txt is empty")


def test_a_file_of_blank_lines_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n \n\t\n")
    assert refused(tmp_path / "a.txt").endswith("a.txt holds no text")


@pytest.mark.parametrize("content", [b"text \xff", b"PK\x03\x04\x00\x00"])
def test_what_is_no_text_is_refused_at_once(home: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    assert "offset" in refused(tmp_path / "a.txt")


def test_broken_validation_text_is_refused_at_once(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.txt", ["good"])
    (tmp_path / "validation.txt").write_bytes(b"\xff")
    assert "validation.txt is not UTF-8" in refused(tmp_path)


def test_a_missing_column_is_refused_at_once(home: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", ["one"], column="body")
    assert "no column 'text'; it has: id, body" in refused(file)


def test_a_folder_without_training_text_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("text")
    assert "has no file with training text; it has test.txt" in refused(tmp_path)


def test_a_folder_with_two_training_files_is_refused(home: Path, tmp_path: Path) -> None:
    write(tmp_path / "train.txt", ["one"])
    write(tmp_path / "train.jsonl.gz", ["two"])
    assert "several train files: train.jsonl.gz, train.txt" in refused(tmp_path)


def test_an_unreadable_file_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").mkdir()
    assert "cannot be read: is a directory" in refused(tmp_path)


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.jsonl.gz"])
def test_an_upload_and_the_same_file_by_its_path_are_one_corpus(
    home: Path, tmp_path: Path, name: str
) -> None:
    mine = write(tmp_path / name.replace("corpus", "mine"), ["one text", "another one"])
    stored = settings().corpora / "corpus_1" / name
    stored.parent.mkdir(parents=True)
    stored.write_bytes(mine.read_bytes())
    uploaded = open_corpus(spec.UploadCorpus(source="upload", id="corpus_1"))
    assert uploaded.fingerprint == local(mine).fingerprint
    assert splits(uploaded) == splits(local(mine))


def test_an_upload_that_is_not_here_is_named(home: Path) -> None:
    with pytest.raises(InputError, match="no uploaded corpus 'corpus_x'"):
        open_corpus(spec.UploadCorpus(source="upload", id="corpus_x"))

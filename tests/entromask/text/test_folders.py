"""Folders that users have: what is read of them, what is left out, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from entromask import spec
from entromask.errors import InputError
from entromask.text.corpus import Corpus, open_corpus
from entromask.text.folders import CorpusFiles, corpus_files, split_files
from entromask.text.tables import TABLE_SUFFIXES
from tests.entromask.text.containers import pack, save_to_disk, table


def local(path: Path) -> Corpus:
    return open_corpus(spec.LocalCorpus(source="local", path=str(path)))


def fill(folder: Path, *names: str) -> Path:
    """Files of one row each, whose text is the file's name."""
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        suffix = next((s for s in TABLE_SUFFIXES if f"{s}." in f"{name.lower()}."), None)
        content = name.encode() if suffix is None else table(suffix, [{"text": name}])
        file.write_bytes(pack(content, file.suffix))
    return folder


def names(files: CorpusFiles) -> tuple[list[str], list[str], list[str]]:
    train, validation = ([file.name for file in split] for split in (files.train, files.validation))
    return train, validation, files.left_out


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        local(folder)
    assert caught.value.hint
    return caught.value.message


@pytest.mark.parametrize(
    ("content", "train", "validation", "left_out"),
    [
        (["b.csv", "a.txt", "c.jsonl.gz"], ["a.txt", "b.csv", "c.jsonl.gz"], [], []),
        (["train.TXT", "more.txt", "dev.txt"], ["train.TXT"], [], ["dev.txt", "more.txt"]),
        (["train.json", "validation.zst"], ["train.json"], [], ["validation.zst"]),
        (
            ["part-1.tsv.zst", "part-2.parquet", "validation-1.csv", "test.csv", "testimony.txt"],
            ["part-1.tsv.zst", "part-2.parquet", "testimony.txt"],
            ["validation-1.csv"],
            ["test.csv"],
        ),
        (["devotion.txt", "valley.txt"], ["devotion.txt", "valley.txt"], [], []),
        (["a.jsonl", "dev.jsonl"], ["a.jsonl"], ["dev.jsonl"], []),
        (
            ["a.txt", "README.md", "README.txt", ".DS_Store", "__MACOSX/a.txt", "old/b.txt"],
            ["a.txt"],
            [],
            ["README.md", "README.txt", "old/"],
        ),
        (
            ["train-00001-of-00002.parquet", "train-00000-of-00002.parquet", "dataset_infos.json"],
            ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
            [],
            ["dataset_infos.json"],
        ),
        (
            ["train-00000-of-00001-0123456789abcdef.parquet", "validation-00000-of-00001.jsonl"],
            ["train-00000-of-00001-0123456789abcdef.parquet"],
            ["validation-00000-of-00001.jsonl"],
            [],
        ),
    ],
)
def test_the_files_of_a_folder(
    tmp_path: Path,
    content: list[str],
    train: list[str],
    validation: list[str],
    left_out: list[str],
) -> None:
    fill(tmp_path, *content)
    assert names(corpus_files(tmp_path)) == (train, validation, left_out)


def test_a_folder_of_any_files_is_one_corpus_in_their_order(home: Path, tmp_path: Path) -> None:
    files = [f"{number:02}.{kind}" for number, kind in enumerate(["csv", "txt", "jsonl.gz"] * 20)]
    folder = fill(tmp_path / "corpus", *files)
    corpus = local(folder)
    [(_, documents)] = corpus.passes()
    read = list(documents)
    assert [document.text for document in read] == files
    positions = [document.position for document in read]
    assert positions == sorted(positions)
    assert positions[-1] == corpus.size == sum(file.stat().st_size for file in folder.iterdir())
    assert len(list(corpus.documents("validation"))) == 3


def test_the_fingerprint_is_of_all_files_and_of_their_splits(home: Path, tmp_path: Path) -> None:
    fingerprints = {
        local(fill(tmp_path / str(number), *content)).fingerprint
        for number, content in enumerate(
            [["a.txt"], ["a.txt", "b.txt"], ["b.txt"], ["a.txt", "dev.txt"]]
        )
    }
    assert len(fingerprints) == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (["train-00000-of-00003.csv", "train-00002-of-00003.csv"], "lacks train-00001-of-00003"),
        (["part-00001-of-00002.parquet"], "lacks part-00000-of-00002.parquet"),
        (["train.txt", "train.jsonl"], "several train files: train.jsonl, train.txt"),
        (["train.txt", "train-00000-of-00001.csv"], "several train files"),
        (["train.csv.bz2", "b.xlsx"], "no file with training text; it has b.xlsx, train.csv.bz2"),
        (["data/train.csv"], "it has data/ (name "),
        (["test.txt"], "no file with training text; it has test.txt"),
        ([".hidden.txt"], "no file with training text; it is empty"),
    ],
)
def test_what_cannot_be_read_is_refused_and_what_is_there_is_named(
    home: Path, tmp_path: Path, content: list[str], words: str
) -> None:
    assert words in refused(fill(tmp_path / "corpus", *content))


def test_a_file_of_a_folder_that_is_broken_is_named(home: Path, tmp_path: Path) -> None:
    fill(tmp_path, "a.txt", "b.csv")
    (tmp_path / "b.csv").write_text('text\n"x\n')
    assert f"{tmp_path / 'b.csv'}, line 2: the quote" in refused(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"")
    assert f"{tmp_path / 'b.csv'} is empty" in refused(tmp_path)


def test_saved_data_sets_are_read(home: Path, tmp_path: Path) -> None:
    """By `datasets` itself, so that the layout is the one that users have."""
    import datasets

    datasets.disable_progress_bars()
    texts = {
        split: [f"{split} {number} 東京" for number in range(count)]
        for split, count in (("train", 50), ("validation", 7), ("test", 3))
    }
    both = datasets.DatasetDict(
        {split: datasets.Dataset.from_dict({"text": rows}) for split, rows in texts.items()}
    )
    both.save_to_disk(tmp_path / "both", num_shards={"train": 3, "validation": 1, "test": 1})
    corpus = local(tmp_path / "both")
    assert list(corpus.documents("train")) == texts["train"]
    assert list(corpus.documents("validation")) == texts["validation"]
    assert corpus.left_out == ["test"]
    both["train"].select(range(40, 10, -1)).save_to_disk(tmp_path / "one")
    corpus = local(tmp_path / "one")
    read = {*corpus.documents("train"), *corpus.documents("validation")}
    assert read == set(texts["train"][11:41])
    both["train"].save_to_disk(tmp_path / "mixed/train")
    (tmp_path / "mixed/validation.txt").write_text("plain")
    corpus = local(tmp_path / "mixed")
    assert list(corpus.documents("train")) == texts["train"]
    assert list(corpus.documents("validation")) == ["plain"]


def test_a_saved_data_set_that_is_not_whole_is_refused(home: Path, tmp_path: Path) -> None:
    folder = save_to_disk(tmp_path / "a", [["one"], ["two"]])
    (folder / "data-00001-of-00002.arrow").unlink()
    assert "lacks data-00001-of-00002.arrow" in refused(folder)
    (folder / "state.json").write_text("{}")
    assert "does not name the files" in refused(folder)
    splits = tmp_path / "splits"
    save_to_disk(splits / "test", [["one"]])
    (splits / "dataset_dict.json").write_text('{"splits": ["test"]}')
    assert "has no split 'train', only test" in refused(splits)
    (splits / "dataset_dict.json").write_text('{"splits": ["train"]}')
    assert "has the split 'train', and" in refused(splits)
    save_to_disk(splits / "train", [["one"]])
    (splits / "train/data-00000-of-00001.arrow").write_bytes(b"no arrow")
    assert "is not an Arrow file that can be read" in refused(splits)


def test_a_split_of_a_task_may_be_a_file_shards_or_saved(tmp_path: Path) -> None:
    fill(tmp_path, "train-00000-of-00001.csv", "Validation.jsonl.zst", "notes.txt")
    save_to_disk(tmp_path / "test", [["one"], ["two"]])
    found = {
        split: [file.name for file in split_files(tmp_path, split, TABLE_SUFFIXES)]
        for split in ("train", "validation", "test", "dev")
    }
    assert found == {
        "train": ["train-00000-of-00001.csv"],
        "validation": ["Validation.jsonl.zst"],
        "test": ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"],
        "dev": [],
    }

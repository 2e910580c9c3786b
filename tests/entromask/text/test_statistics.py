"""What a packed corpus tells of its text: counts of documents, rows and replaced characters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entromask import spec
from entromask.text.corpus import open_corpus
from entromask.text.documents import LONGEST
from entromask.text.packing import PackedCorpus, pack
from entromask.text.statistics import Notes, TextStatistics
from entromask.text.tokenizer import load_tokenizer
from tests.entromask.text import trained

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("tokenizer")
    # Bytes: no text of these tests has unknown tokens, which would be one more warning.
    trained.train(trained.TEXTS, 300, algorithm="byte-bpe").save_pretrained(folder)
    return load_tokenizer(str(folder))


def packed(path: Path, tokenizer: PreTrainedTokenizerBase) -> PackedCorpus:
    return pack(open_corpus(spec.LocalCorpus(source="local", path=str(path))), tokenizer, 8, None)


def jsonl(file: Path, texts: list[str]) -> Path:
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return file


def test_documents_and_rows_of_both_splits_are_counted(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    jsonl(tmp_path / "train.jsonl", ["the cat sat on the mat"] * 30 + [" ", ""])
    jsonl(tmp_path / "validation.jsonl", ["a dog ran to it and sat"] * 7)
    for _ in range(2):  # packed, then read from the cache
        corpus = packed(tmp_path, tokenizer)
        assert corpus.text.documents == 30
        assert corpus.text.validation_documents == 7
        assert corpus.text.rows == len(corpus.train)
        assert corpus.text.tokens == corpus.train.size
        assert corpus.text.validation_rows == len(corpus.validation)
        assert corpus.text.replaced_characters == 0
        assert corpus.text.warnings() == []
    assert "30 documents" in corpus.text.summary()


def test_a_long_document_counts_once(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    texts = ["the cat " * (LONGEST // 2), *["a dog ran to it and sat"] * 30]
    jsonl(tmp_path / "train.jsonl", texts)
    jsonl(tmp_path / "validation.jsonl", ["a dog ran to it and sat"] * 7)
    assert packed(tmp_path, tokenizer).text.documents == 31


def test_replaced_characters_are_counted_and_the_first_is_located(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    file = jsonl(tmp_path / "posts.jsonl", ["the cat sat on the mat 😀"] * 60)
    lines = file.read_text().splitlines()
    lines[40] = json.dumps({"text": "the cat \ud83d sat \udc00"})
    lines[50] = json.dumps({"text": "\ud83d the dog"})
    file.write_text("\n".join(lines))
    text = packed(file, tokenizer).text
    assert (text.replaced_characters, text.first_replaced) == (3, "posts.jsonl, line 41")
    [warning] = text.warnings()
    assert "3 characters" in warning
    assert "posts.jsonl, line 41" in warning


def test_what_is_written_is_read_back_and_unknown_keys_are_passed_over() -> None:
    text = TextStatistics(documents=3, rows=2, tokens=16, replaced_characters=1, first_replaced="a")
    assert TextStatistics.from_data(json.loads(json.dumps(text.data()))) == text
    assert TextStatistics.from_data({**text.data(), "later": 1}) == text
    assert TextStatistics.from_data({}) == TextStatistics()


def test_notes_keep_the_first_origin_of_each_kind() -> None:
    from entromask.text.documents import Text

    notes = Notes()
    notes.add(Text("a", 1, origin="x, line 1"))
    notes.add(Text("b", 2, long_field=True, origin="x, line 2"))
    notes.add(Text("c", 3, long_field=True, replaced=4, origin="x, line 3"))
    assert notes == Notes(4, "x, line 3", 2, "x, line 2")

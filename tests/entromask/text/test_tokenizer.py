"""Tokenizers: trained alike each time, loaded from folders, compared in words."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from entromask import spec
from entromask.errors import DependencyMissingError, InputError
from entromask.text.corpus import Corpus, open_corpus
from entromask.text.encoding import encoder, word_encoder
from entromask.text.tokenizer import (
    load_tokenizer,
    open_tokenizer,
    same_tokenizer,
    tokenizer_fingerprint,
)
from tests.entromask.text import trained as families
from tests.entromask.text.test_files import write

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return open_corpus(spec.BuiltinCorpus())


@pytest.fixture(scope="module")
def trained(corpus: Corpus) -> PreTrainedTokenizerBase:
    return open_tokenizer(spec.TrainedTokenizer(vocab_size=1000), corpus)


def edited(tokenizer: PreTrainedTokenizerBase, folder: Path, edit: str) -> PreTrainedTokenizerBase:
    """The tokenizer with one thing changed in its files."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    state = json.loads(file.read_text(encoding="utf-8"))
    vocabulary = state["model"]["vocab"]
    if edit == "swap":
        vocabulary["the"], vocabulary["of"] = vocabulary["of"], vocabulary["the"]
    elif edit == "rename":
        vocabulary["xyzzy"] = vocabulary.pop("the")
    elif edit == "more":
        vocabulary["xyzzy"] = len(vocabulary)
    elif edit == "cased":
        state["normalizer"]["normalizers"][-1]["lowercase"] = False
    file.write_text(json.dumps(state), encoding="utf-8")
    return load_tokenizer(str(folder))


def test_a_trained_tokenizer_has_the_size_and_the_special_tokens(
    trained: PreTrainedTokenizerBase,
) -> None:
    assert len(trained) == 1000
    names = ("pad", "unk", "cls", "sep", "mask")
    assert [getattr(trained, f"{name}_token_id") for name in names] == [0, 1, 2, 3, 4]
    assert sorted(trained.all_special_ids) == [0, 1, 2, 3, 4]


def test_it_is_uncased_and_knows_whole_words(trained: PreTrainedTokenizerBase) -> None:
    assert trained.tokenize("The FUNCTION ä") == trained.tokenize("the function Ä")
    assert trained.tokenize("the function") == ["the", "function"]
    assert trained.decode(trained("the function, or not")["input_ids"]) == (
        "[CLS] the function, or not [SEP]"
    )


def test_its_characters_are_no_special_tokens(trained: PreTrainedTokenizerBase) -> None:
    ids = trained("a b ##c [MASK]", add_special_tokens=False)["input_ids"]
    assert trained.decode(ids, skip_special_tokens=True).split()[:2] == ["a", "b"]
    assert trained.tokenize("xq")[-1].startswith("##")


def test_it_gives_what_every_architecture_takes(trained: PreTrainedTokenizerBase) -> None:
    assert list(trained("one", "two")) == ["input_ids", "attention_mask"]


def test_a_small_corpus_gives_a_smaller_vocabulary(home: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", ["the cat and the dog and the cat"] * 5)
    small = open_corpus(spec.LocalCorpus(source="local", path=str(file)))
    tokenizer = open_tokenizer(spec.TrainedTokenizer(vocab_size=5000), small)
    assert len(tokenizer) < 60
    assert tokenizer.tokenize("the cat") == ["the", "cat"]
    assert tokenizer.tokenize("ж") == ["[UNK]"]


def test_a_tiny_vocabulary_keeps_room_for_words(corpus: Corpus) -> None:
    tokenizer = open_tokenizer(spec.TrainedTokenizer(vocab_size=200), corpus)
    assert len(tokenizer) == 200
    assert sum(len(token.removeprefix("##")) > 1 for token in tokenizer.get_vocab()) > 70


_PROGRAM = """
from entromask import spec
from entromask.text.corpus import open_corpus
from entromask.text.tokenizer import open_tokenizer
open_tokenizer(spec.TrainedTokenizer(vocab_size=1500), open_corpus(spec.BuiltinCorpus()))
"""


@pytest.mark.slow
def test_two_trainings_in_two_homes_give_the_same_bytes(tmp_path: Path) -> None:
    digests = []
    for home in ("one", "two"):
        environment = os.environ | {"ENTROMASK_HOME": str(tmp_path / home)}
        subprocess.run([sys.executable, "-c", _PROGRAM], env=environment, check=True)
        (folder,) = (tmp_path / home / "cache" / "tokenizers").glob("*/")
        digests.append(
            {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}
        )
    assert digests[0] == digests[1]
    assert "tokenizer.json" in digests[0]


def test_it_is_trained_once(
    corpus: Corpus, trained: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpus, "documents", None)
    again = open_tokenizer(spec.TrainedTokenizer(vocab_size=1000), corpus)
    assert again.get_vocab() == trained.get_vocab()


def test_saving_and_loading_keeps_the_fingerprint(
    trained: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    trained.save_pretrained(tmp_path / "a")
    loaded = load_tokenizer(str(tmp_path / "a"))
    loaded("one", truncation=True, max_length=3, padding="max_length")  # sets the backend's state
    assert tokenizer_fingerprint(loaded) == tokenizer_fingerprint(trained)
    assert same_tokenizer(loaded, trained) is None


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ("more", "the vocabularies have 1,000 and 1,001 tokens"),
        ("swap", "has the ids"),
        ("rename", "the token 'the' (id"),
        ("cased", "'The quick brown fox jumps over the lazy dog.' becomes ["),
    ],
)
def test_the_first_difference_is_one_sentence(
    trained: PreTrainedTokenizerBase, tmp_path: Path, edit: str, said: str
) -> None:
    other = edited(trained, tmp_path / "other", edit)
    difference = same_tokenizer(trained, other)
    assert difference is not None
    assert said in difference
    assert "\n" not in difference
    assert tokenizer_fingerprint(other) != tokenizer_fingerprint(trained)


def test_encoding_is_never_cut_and_reads_no_special_tokens_in_a_text(
    trained: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    trained.save_pretrained(tmp_path)
    cutting = load_tokenizer(str(tmp_path))
    cutting.backend_tokenizer.enable_truncation(4)
    cutting.backend_tokenizer.enable_padding(length=500)
    (ids,) = encoder(cutting)(["the function " * 100 + "[MASK] [SEP]"])
    assert 200 < len(ids) < 250
    assert not set(ids) & {trained.mask_token_id, trained.sep_token_id, trained.cls_token_id}


def test_a_folder_with_a_vocabulary_file_alone_is_loaded(shared_data: Path) -> None:
    folder = shared_data / "tokenizers" / "bert-base-uncased"
    tokenizer = open_tokenizer(
        spec.LocalTokenizer(source="local", path=str(folder)), open_corpus(spec.BuiltinCorpus())
    )
    assert len(tokenizer) == 30_522
    assert tokenizer.mask_token_id == 103
    assert tokenizer.tokenize("Unbelievably naïve!") == (
        ["un", "##bel", "##ie", "##va", "##bly", "naive", "!"]
    )


def test_a_python_tokenizer_encodes_the_same(shared_data: Path, tmp_path: Path) -> None:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    folder = shared_data / "tokenizers" / "bert-base-uncased"
    slow = BertTokenizerLegacy(str(folder / "vocab.txt"))
    fast = load_tokenizer(str(folder))
    text = "Tokenization isn't so hard. " * 200
    assert encoder(slow)([text]) == encoder(fast)([text])
    assert same_tokenizer(slow, fast) is None


def test_a_tokenizer_without_a_mask_token_is_refused(
    trained: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    trained.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    del config["mask_token"]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="has no mask_token"):
        load_tokenizer(str(tmp_path))


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no tokenizer: no "):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="holds no tokenizer that can be loaded"):
        load_tokenizer(str(tmp_path))


def test_a_missing_folder_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(InputError, match="no tokenizer folder"):
        load_tokenizer(str(missing))
    with pytest.raises(InputError, match="no tokenizer folder none"):
        open_tokenizer(spec.LocalTokenizer(source="local", path="none"), corpus)


def test_a_hub_tokenizer_without_a_network_is_named(corpus: Corpus) -> None:
    with pytest.raises(DependencyMissingError, match="the tokenizer 'nobody/has-this'") as caught:
        open_tokenizer(spec.HubTokenizer(source="hub", name="nobody/has-this"), corpus)
    assert caught.value.hint


def test_a_killed_training_leaves_nothing_that_is_used(
    corpus: Corpus, home: Path, tmp_path: Path
) -> None:
    tokenizer = open_tokenizer(spec.TrainedTokenizer(vocab_size=300), corpus)
    (folder,) = (home / "cache" / "tokenizers").glob("*/")
    building = folder.with_name(folder.name + ".building")
    shutil.move(folder, building)
    (building / "tokenizer.json").write_text("half")
    again = open_tokenizer(spec.TrainedTokenizer(vocab_size=300), corpus)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert not building.exists()


FAMILIES: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "wordpiece": families.wordpiece,
    "cased wordpiece": families.cased_wordpiece,
    "byte-level": families.byte_level,
    "byte-level, trimmed": lambda: families.byte_level(trim_offsets=True),
    "unigram": families.unigram,
    "unigram, unsplit": lambda: families.unigram(split=False),
}


def words_of(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[list[str]]]:
    """The tokens of each text in words, as `word_encoder` has them."""
    encode = word_encoder(tokenizer)
    assert encode is not None
    found = []
    for ids, begins in encode(texts):
        words: list[list[str]] = []
        for token, first in zip(tokenizer.convert_ids_to_tokens(ids), begins, strict=True):
            if first:
                words.append([])
            words[-1].append(token)
        found.append(words)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_words_are_what_whitespace_parts(family: str) -> None:
    tokenizer = FAMILIES[family]()
    texts = ["unbelievable things  people\u00a0reread", "", " everybody", "rereading\u3000nothing"]
    found = words_of(tokenizer, texts)
    # A token of whitespace alone, for the second of two spaces, is a word beside the others.
    surfaces = [
        [
            "".join(word).replace("##", "").strip("Ġ▁")
            for word in words
            if word not in (["Ġ"], ["▁"])
        ]
        for words in found
    ]
    assert surfaces[0][:2] == ["unbelievable", "things"]
    assert surfaces[1] == []
    assert surfaces[2] == ["everybody"]
    assert surfaces[3][0] == "rereading"
    assert surfaces[3][-1].endswith("nothing")
    assert surfaces[0][-1].endswith("reread")
    assert max(len(word) for words in found for word in words) > 2, "some words are cut"


@pytest.mark.parametrize(
    ("family", "expected"),
    [
        ("wordpiece", ["isn", "'", "t", "seeing", ",", "readable", "!", ")"]),
        ("cased wordpiece", ["isn't", "seeing,", "readable!)"]),
        ("byte-level", ["isn", "'t", "Ġseeing", ",", "Ġreadable", "!)"]),
        ("unigram", ["▁isn't", "▁seeing,", "▁readable!)"]),
        ("unigram, unsplit", ["▁isn't", "▁seeing,", "▁readable!)"]),
    ],
)
def test_punctuation_is_where_the_tokenizer_has_it(family: str, expected: list[str]) -> None:
    (words,) = words_of(FAMILIES[family](), ["isn't seeing, readable!)"])
    assert ["".join(word).replace("##", "") for word in words] == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_words_come_with_the_same_ids_whatever_the_batch(family: str) -> None:
    tokenizer = FAMILIES[family]()
    texts = ["things, seen", "", "ünsee [MASK] things", "x", " y\tz", "isn't"]
    encode = word_encoder(tokenizer)
    assert encode is not None
    together, plain = encode(texts), encoder(tokenizer)(texts)
    assert [ids.tolist() for ids, _ in together] == plain
    for text, (ids, begins) in zip(texts, together, strict=True):
        ((same_ids, same_begins),) = encode([text])
        assert ids.tolist() == same_ids.tolist()
        assert begins.tolist() == same_begins.tolist()
        assert len(begins) == len(ids)
        assert begins[:1].all(), "a text begins with a word"


def test_a_wordpiece_s_types_tell_the_same_words_as_its_word_ids_and_offsets(
    trained: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The general way is the reference; the corpus has all that documentation has.
    texts = list(open_corpus(spec.BuiltinCorpus()).documents("validation"))
    texts += ["##ing # ##", "x\x1cq", "\u00a0x\u3000y", "東京 see", "a" * 300, "[MASK]ing e\u0301"]
    fast = word_encoder(trained)
    monkeypatch.setattr("entromask.text.encoding._continues", lambda backend: None)
    general = word_encoder(trained)
    assert fast is not None
    assert general is not None
    found, expected = fast(texts), general(texts)
    assert sum(len(ids) for ids, _ in found) > 10_000
    assert sum((~begins).sum() for _, begins in found) > 1000
    for (ids, begins), (same_ids, same_begins) in zip(found, expected, strict=True):
        assert ids.tolist() == same_ids.tolist()
        assert begins.tolist() == same_begins.tolist()


def test_a_python_tokenizer_knows_no_words(shared_data: Path) -> None:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    vocabulary = shared_data / "tokenizers" / "bert-base-uncased" / "vocab.txt"
    assert word_encoder(BertTokenizerLegacy(str(vocabulary))) is None

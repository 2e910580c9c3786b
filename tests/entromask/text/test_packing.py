"""Packing: right rows, built once, killed safely, in flat memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from entromask import spec
from entromask.errors import InputError
from entromask.text.corpus import Corpus, open_corpus
from entromask.text.encoding import encoder, word_encoder
from entromask.text.packing import pack
from entromask.text.tokenizer import load_tokenizer, open_tokenizer
from tests.entromask.text import trained
from tests.entromask.text.test_files import write

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORDS = (
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "dog",
    "ran",
    "to",
    "it",
    "she",
    "read",
    "tea",
)


def documents(count: int, words: int = 40) -> list[str | None]:
    noise = np.random.default_rng(0)
    return [" ".join(noise.choice(WORDS, size=words)) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    corpus = local(write(folder / "a.txt", documents(200)))
    open_tokenizer(spec.TrainedTokenizer(vocab_size=300), corpus).save_pretrained(folder)
    return folder


@pytest.fixture
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(str(tokenizer_folder))


def local(path: Path) -> Corpus:
    return open_corpus(spec.LocalCorpus(source="local", path=str(path)))


def caches(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "cache" / "packed").iterdir() if path.is_dir())


def test_rows_hold_the_documents_in_order(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    corpus = local(write(tmp_path / "a.txt", documents(300)))
    packed = pack(corpus, tokenizer, 32, None)
    assert packed.train.dtype == np.uint16
    assert packed.folder == home / "cache" / "packed" / packed.fingerprint
    for split, rows in (("train", packed.train), ("validation", packed.validation)):
        assert isinstance(rows, np.memmap)
        assert not rows.flags.writeable
        assert (rows[:, 0] == tokenizer.cls_token_id).all()
        assert (rows[:, -1] == tokenizer.sep_token_id).all()
        assert (rows != tokenizer.pad_token_id).all()
        texts = list(corpus.documents(split))  # type: ignore[arg-type]
        tokens = [token for ids in encoder(tokenizer)(texts) for token in ids]
        found = rows[rows > tokenizer.mask_token_id].tolist()
        assert found == tokens[: len(found)]
        assert len(tokens) - len(found) < 32


@pytest.mark.parametrize("length", [8, 31])
def test_each_training_token_knows_whether_it_begins_a_word(
    home: Path, tmp_path: Path, length: int
) -> None:
    # No type tells: without offsets, a document would be one word.
    unsplit = trained.unigram(split=False)
    corpus = local(write(tmp_path / "a.txt", [*trained.TEXTS] * 3))
    packed = pack(corpus, unsplit, length, None)
    words = packed.train_words
    assert isinstance(words, np.memmap)
    assert words.dtype == np.bool_
    assert words.shape == packed.train.shape
    assert not words.flags.writeable
    encode = word_encoder(unsplit)
    assert encode is not None
    expected = np.concatenate([begins for _, begins in encode([*corpus.documents("train")])])
    framing = (packed.train == unsplit.cls_token_id) | (packed.train == unsplit.sep_token_id)
    found = words[~framing]
    assert np.array_equal(found, expected[: len(found)])
    assert 0.1 < found.mean() < 0.9
    assert words[framing].all()


def test_without_word_ids_the_rows_are_the_same_and_words_are_refused(
    home: Path, tmp_path: Path, shared_data: Path
) -> None:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    folder = shared_data / "tokenizers" / "bert-base-uncased"
    corpus = local(write(tmp_path / "a.txt", documents(100)))
    slow = pack(corpus, BertTokenizerLegacy(str(folder / "vocab.txt")), 16, None)
    fast = pack(corpus, load_tokenizer(str(folder)), 16, None)
    assert slow.folder != fast.folder
    assert np.array_equal(slow.train, fast.train)
    assert np.array_equal(slow.validation, fast.validation)
    with pytest.raises(InputError, match="does not know where words begin"):
        _ = slow.train_words


def test_counts_are_those_of_the_train_rows_without_special_tokens(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    texts = documents(300)
    texts[5] = "a letter ж that the vocabulary lacks, and [MASK] [SEP] [CLS] spelt out"
    packed = pack(local(write(tmp_path / "a.txt", texts)), tokenizer, 16, None)
    assert packed.counts.dtype == np.int64
    assert packed.counts.shape == (len(tokenizer),)
    assert (packed.counts[tokenizer.all_special_ids] == 0).all()
    rows = np.array(packed.train)
    assert (rows == tokenizer.unk_token_id).sum() > 0
    assert (rows != tokenizer.mask_token_id).all()
    assert (rows[:, 1:] != tokenizer.cls_token_id).all()
    for token in range(len(tokenizer)):
        if token not in tokenizer.all_special_ids:
            assert packed.counts[token] == (rows == token).sum()


def test_a_large_vocabulary_takes_wider_numbers(
    home: Path, tmp_path: Path, tokenizer_folder: Path
) -> None:
    state = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    vocabulary = state["model"]["vocab"]
    last = vocabulary["cat"]
    vocabulary |= {f"filler{number}": number for number in range(len(vocabulary), 70_000)}
    vocabulary["cat"], vocabulary["filler69999"] = 69_999, last
    (tmp_path / "tokenizer.json").write_text(json.dumps(state))
    config = (tokenizer_folder / "tokenizer_config.json").read_text()
    (tmp_path / "tokenizer_config.json").write_text(config)
    large = load_tokenizer(str(tmp_path))
    packed = pack(local(write(tmp_path / "a.txt", documents(100))), large, 32, None)
    assert packed.train.dtype == np.uint32
    assert packed.train.max() == 69_999
    assert packed.counts[69_999] == (packed.train == 69_999).sum() > 0


def test_max_tokens_takes_the_first_rows_and_reads_no_further(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    # The invalid byte lies behind what is needed.
    file = write(tmp_path / "a.txt", documents(10_000))
    whole = pack(local(file), tokenizer, 32, None)
    with file.open("ab") as stream:
        stream.write(b"\n\n\xff\n")
    limited = pack(local(file), tokenizer, 32, 10_000)
    assert limited.train.shape == (10_000 // 32, 32)
    assert np.array_equal(limited.train, whole.train[: 10_000 // 32])
    assert 1 <= len(limited.validation) <= 64
    with pytest.raises(InputError, match="not UTF-8"):
        pack(local(file), tokenizer, 32, None)
    assert len(caches(home)) == 2, "the failed one has left nothing"


def test_max_tokens_does_not_cut_a_validation_file(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    write(tmp_path / "train.txt", documents(500))
    write(tmp_path / "validation.txt", documents(300))
    packed = pack(local(tmp_path), tokenizer, 32, 320)
    assert len(packed.train) == 10
    assert len(packed.validation) > 300


def test_each_text_tokenizer_length_and_limit_has_its_own_rows(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    one = local(write(tmp_path / "a.txt", documents(100)))
    two = local(write(tmp_path / "b.txt", documents(101)))
    other = open_tokenizer(spec.TrainedTokenizer(vocab_size=250), one)
    fingerprints = {
        pack(corpus, this, length, limit).fingerprint
        for corpus, this, length, limit in (
            (one, tokenizer, 16, None),
            (two, tokenizer, 16, None),
            (one, other, 16, None),
            (one, tokenizer, 17, None),
            (one, tokenizer, 16, 160),
        )
    }
    assert len(fingerprints) == 5
    assert caches(home) == sorted(fingerprints)


def test_packed_rows_are_used_again_and_a_damaged_cache_is_not(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    corpus = local(write(tmp_path / "a.txt", documents(300)))
    calls: list[tuple[int, int]] = []

    def on_progress(done: int, total: int) -> None:
        calls.append((done, total))

    first = pack(corpus, tokenizer, 32, None, on_progress)
    assert calls[-1] == (corpus.size, corpus.size)
    rows, words = np.array(first.train), np.array(first.train_words)
    calls.clear()
    pack(corpus, tokenizer, 32, None, on_progress)
    assert not calls
    for name in ("train.bin", "train.words", "meta.json", "counts.npy"):
        file = first.folder / name
        file.write_bytes(file.read_bytes()[:-1]) if name != "counts.npy" else file.unlink()
        again = pack(corpus, tokenizer, 32, None, on_progress)
        assert np.array_equal(again.train, rows), name
        assert np.array_equal(again.train_words, words), name
        assert calls.pop(), name
        calls.clear()


def test_progress_counts_tokens_where_they_are_limited(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    calls: list[tuple[int, int]] = []
    corpus = local(write(tmp_path / "a.txt", documents(20_000)))
    pack(corpus, tokenizer, 32, 500_000, lambda done, total: calls.append((done, total)))
    assert len(calls) > 2
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {500_000 // 32 * 32}
    assert calls[-1][0] == calls[-1][1]


@pytest.mark.parametrize(
    ("train", "validation", "length", "said"),
    [
        (["the cat"], ["the cat " * 99], 16, "the train text of .* has 2 tokens, too few"),
        (["the cat " * 99], ["a dog"], 16, "the validation text of .* has 2 tokens, too few"),
        (
            ["the cat " * 99],
            None,
            128,
            "the held-out text of .* too few for one row of 128",
        ),
        (["a"], None, 8, "has 1 tokens, too few for one row of 8"),
    ],
)
def test_a_corpus_too_small_for_one_row_is_refused(
    home: Path,
    tmp_path: Path,
    tokenizer: PreTrainedTokenizerBase,
    train: list[str | None],
    validation: list[str | None] | None,
    length: int,
    said: str,
) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write(folder / "train.txt", train)
    if validation is not None:
        write(folder / "validation.txt", validation)
    with pytest.raises(InputError, match=said) as caught:
        pack(local(folder), tokenizer, length, None)
    assert "pretraining.sequence_length" in str(caught.value.hint)
    assert caches(home) == []


def test_fewer_tokens_than_one_row_are_refused(
    home: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    corpus = local(write(tmp_path / "a.txt", documents(100)))
    with pytest.raises(InputError, match=r"corpus.max_tokens 100 is less than one row of 128"):
        pack(corpus, tokenizer, 128, 100)


# What the processes below run: argv is corpus, tokenizer, a folder for signs, a name.
_PROGRAM = """
import os, pathlib, resource, signal, sys, time
import psutil
from entromask import spec
from entromask.errors import EntromaskError
from entromask.text.corpus import open_corpus
from entromask.text.packing import pack
from entromask.text.tokenizer import load_tokenizer

corpus, tokenizer, signs, name = sys.argv[1:5]
signs = pathlib.Path(signs)

def wait_for(pattern, count):
    deadline = time.monotonic() + 120
    while len(list(signs.glob(pattern))) < count:
        assert time.monotonic() < deadline, pattern
        time.sleep(0.01)

def memory():
    return psutil.Process().memory_info().rss

def on_progress(done, total):
    global most
    most = max(most, memory())
    (signs / f"built-{name}").touch()
    %(on_progress)s

corpus = open_corpus(spec.LocalCorpus(source="local", path=corpus))
tokenizer = load_tokenizer(tokenizer)
(signs / f"ready-{name}").touch()
%(before)s
start = most = memory()
try:
    packed = pack(corpus, tokenizer, 32, None, on_progress)
except EntromaskError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(packed.fingerprint, len(packed.train), most - start)
"""


def start(
    home: Path, arguments: list[Path | str], before: str = "", on_progress: str = "pass"
) -> subprocess.Popen[str]:
    program = _PROGRAM % {"before": before, "on_progress": on_progress}
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env=os.environ | {"ENTROMASK_HOME": str(home), "TOKENIZERS_PARALLELISM": "false"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    return process.communicate(timeout=300)


def wait_until(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 120
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_two_processes_that_start_together_build_once(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    file = write(tmp_path / "a.txt", documents(2000))
    signs = tmp_path / "signs"
    signs.mkdir()
    # Whoever builds goes on only when both are about to pack.
    processes = [
        start(
            tmp_path / "home",
            [file, tokenizer_folder, signs, name],
            on_progress="wait_for('ready-*', 2)",
        )
        for name in ("a", "b")
    ]
    answers = [finish(process) for process in processes]
    assert [error for _, error in answers] == ["", ""]
    assert answers[0][0].split()[:2] == answers[1][0].split()[:2]
    assert len(list(signs.glob("built-*"))) == 1
    assert len(caches(tmp_path / "home")) == 1


@pytest.mark.slow
def test_what_a_killed_builder_left_is_removed_at_the_next_build(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    file = write(tmp_path / "a.txt", documents(2000))
    other = write(tmp_path / "b.txt", documents(300))
    home, signs = tmp_path / "home", tmp_path / "signs"
    signs.mkdir()
    for corpus in (file, other):
        killed = start(home, [corpus, tokenizer_folder, signs, corpus.stem], "", "signal.pause()")
        wait_until((signs / f"built-{corpus.stem}").exists)
        killed.send_signal(signal.SIGKILL)
        finish(killed)
    assert [name.partition(".")[2] for name in caches(home)].count("building") >= 1
    output, error = finish(start(home, [file, tokenizer_folder, signs, "c"]))
    assert error == ""
    assert caches(home) == [output.split()[0]], "its own remains and those of the other corpus"


@pytest.mark.slow
def test_no_room_on_the_disk_is_said_and_nothing_is_left(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    file = write(tmp_path / "a.txt", documents(20_000))
    home = tmp_path / "home"
    # A limit on the size of a file stands for a full disk, which a test cannot make.
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    process = start(home, [file, tokenizer_folder, tmp_path, "a"], limit)
    _, error = finish(process)
    assert process.returncode == 1
    assert error.startswith("DiskFullError: no room on the disk for the packed corpus")
    assert caches(home) == []


@pytest.mark.slow
def test_memory_stays_flat_when_the_corpus_grows_tenfold(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    growth = {}
    text = "\n\n".join(str(text) for text in documents(7000, words=250))
    for megabytes in (6, 60):
        file = tmp_path / f"{megabytes}.txt"
        with file.open("w") as stream:
            while stream.tell() < megabytes * 1_000_000:
                stream.write(text + "\n\n")
        output, error = finish(
            start(tmp_path / "home", [file, tokenizer_folder, tmp_path, str(megabytes)])
        )
        assert error == ""
        growth[megabytes] = int(output.split()[2]) / 2**20
    assert growth[60] - growth[6] < 15, f"MiB more than before packing: {growth}"

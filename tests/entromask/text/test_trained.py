"""Trained vocabularies: every script, what they cover, and the same bytes each time."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from entromask.spec import TrainedTokenizer
from entromask.text.encoding import encoder
from entromask.text.trained import Training, read_training, save_trained, train_tokenizer
from tests.entromask.text.scripts import PAIRS, SENTENCES
from tests.entromask.text.trained import train

ALGORITHMS = ("wordpiece", "byte-bpe", "unigram")
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def corpus(script: str) -> list[str]:
    """The words of a sentence in many orders."""
    words = SENTENCES[script].split(" ")
    return [" ".join(order) for order in itertools.islice(itertools.permutations(words), 30)]


def han(characters: int, length: int = 40, rows: int = 400) -> list[str]:
    """Text of so many different Chinese characters, by Zipf; each occurs."""
    generator = random.Random(1)
    alphabet = [chr(0x4E00 + 3 * i) for i in range(characters)]
    weights = [1 / (rank + 1) for rank in range(characters)]
    texts = ["".join(generator.choices(alphabet, weights, k=length)) for _ in range(rows)]
    return [*texts, *("".join(alphabet[i : i + length]) for i in range(0, characters, length))]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("script", SENTENCES)
def test_no_script_has_unknown_tokens_in_its_own_corpus(script: str, algorithm: str) -> None:
    texts = corpus(script)
    tokenizer = train(texts, 600, algorithm=algorithm)
    ids = [token for row in encoder(tokenizer)(texts) for token in row]
    assert len(ids) > len(texts)
    assert tokenizer.unk_token_id not in ids


@pytest.mark.parametrize("algorithm", ["byte-bpe", "unigram"])
@pytest.mark.parametrize("script", SENTENCES)
def test_what_is_read_is_what_was_written(script: str, algorithm: str) -> None:
    text = SENTENCES[script]
    tokenizer = train(corpus(script), 600, algorithm=algorithm, lowercase=False)
    (ids,) = encoder(tokenizer)([text])
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("script", SENTENCES)
def test_wordpiece_keeps_every_character(script: str) -> None:
    text = SENTENCES[script]
    tokenizer = train(corpus(script), 600, lowercase=False)
    (ids,) = encoder(tokenizer)([text])
    pieces = [token.removeprefix("##") for token in tokenizer.convert_ids_to_tokens(ids)]
    assert "".join(pieces) == unicodedata.normalize("NFC", text).replace(" ", "")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("script", PAIRS)
def test_marks_tell_words_apart_unless_they_are_stripped(script: str, algorithm: str) -> None:
    texts = [" ".join(PAIRS[script])] * 20
    kept = train(texts, 400, algorithm=algorithm)
    first, second = encoder(kept)(list(PAIRS[script]))
    assert first != second
    assert kept.unk_token_id not in (*first, *second)
    stripped = train(texts, 400, algorithm=algorithm, strip_accents=True)
    one, other = PAIRS[script]
    bare = "".join(
        c for c in unicodedata.normalize("NFD", other) if unicodedata.category(c) != "Mn"
    )
    assert encoder(stripped)([other]) == encoder(stripped)([bare])
    if unicodedata.normalize("NFC", bare) == one:
        assert encoder(stripped)([one]) == encoder(stripped)([other])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_composed_and_decomposed_text_are_one(algorithm: str) -> None:
    text = SENTENCES["vietnamese"]
    tokenizer = train(corpus("vietnamese"), 500, algorithm=algorithm)
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    assert forms[0] != forms[1]
    first, second = encoder(tokenizer)(forms)
    assert first == second


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_case_is_read_as_the_spec_says(algorithm: str) -> None:
    texts = ["Ähren ähren WORT wort"] * 10
    uncased = train(texts, 400, algorithm=algorithm)
    assert encoder(uncased)(["Ähren WORT"]) == encoder(uncased)(["ähren wort"])
    cased = train(texts, 400, algorithm=algorithm, lowercase=False)
    assert encoder(cased)(["Ähren"]) != encoder(cased)(["ähren"])


def test_bytes_leave_nothing_unknown() -> None:
    tokenizer = train(["a few English words, nothing else"] * 5, 320, algorithm="byte-bpe")
    generator = random.Random(0)
    points = [generator.choice(range(0x20, 0xD800)) for _ in range(1000)]
    points += [generator.choice(range(0xE000, 0x110000)) for _ in range(1000)]
    text = "".join(map(chr, points))
    (ids,) = encoder(tokenizer)([text])
    assert tokenizer.unk_token_id not in ids
    cased = train(["words"] * 5, 320, algorithm="byte-bpe", lowercase=False)
    (ids,) = encoder(cased)([text])
    assert cased.decode(ids) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_special_tokens_come_first_and_transformers_loads_it(
    algorithm: str, tmp_path: Path
) -> None:
    wanted = TrainedTokenizer(vocab_size=400, algorithm=algorithm)
    tokenizer, training = train_tokenizer(lambda: corpus("emoji"), wanted)
    save_trained(tokenizer, training, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded.convert_ids_to_tokens(list(range(5))) == SPECIAL
    assert [loaded.pad_token, loaded.unk_token, loaded.cls_token] == SPECIAL[:3]
    assert [loaded.sep_token, loaded.mask_token] == SPECIAL[3:]
    text = SENTENCES["emoji"]
    assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert loaded(text, text)["input_ids"].count(loaded.sep_token_id) == 2
    assert read_training(tmp_path) == training
    assert training.vocab_size == len(loaded)


@pytest.mark.parametrize(("characters", "size"), [(1500, 2000), (2500, 3000)])
def test_chinese_is_covered_with_one_type_a_character(characters: int, size: int) -> None:
    texts = han(characters)
    tokenizer, training = train_tokenizer(lambda: texts, TrainedTokenizer(vocab_size=size))
    ids = [token for row in encoder(tokenizer)(texts) for token in row]
    assert ids.count(tokenizer.unk_token_id) <= 0.0001 * len(ids)
    assert not [token for token in tokenizer.get_vocab() if token.startswith("##")]
    assert training.covered >= 0.9999


@pytest.mark.parametrize("algorithm", ["wordpiece", "unigram"])
def test_a_vocabulary_too_small_holds_the_most_frequent_and_says_what_it_lacks(
    algorithm: str,
) -> None:
    texts = han(1000)
    wanted = TrainedTokenizer(vocab_size=500, algorithm=algorithm)
    _, training = train_tokenizer(lambda: texts, wanted)
    counts = Counter("".join(texts))
    ranked = sorted(counts, key=lambda one: (-counts[one], one))
    # Unigram has one more type that is no character, the mark of a space.
    room = 495 if algorithm == "wordpiece" else 494
    share = sum(counts[one] for one in ranked[:room]) / sum(counts.values())
    assert training.vocab_size <= 500
    assert training.covered == pytest.approx(share)
    (warning,) = training.warnings()
    assert f"{1 - share:.2%} of its characters are unknown" in warning
    assert f"'{ranked[room]}' ({counts[ranked[room]]})" in warning
    assert "byte-bpe" in warning


def test_a_character_gets_an_inner_form_if_it_can_stand_inside_words() -> None:
    texts = ["東京 ab cd がき"] * 20
    vocabulary = train(texts, 300).get_vocab()
    single = {token for token in vocabulary if len(token.removeprefix("##")) == 1}
    # Of kana the text tells; a letter of a script with spaces may be inside a word of a later text.
    latin = {form + letter for form in ("", "##") for letter in "abcd"}
    assert single == latin | {"東", "京", "が", "き", "##き"}


def test_much_fewer_types_than_asked_for_are_told() -> None:
    wanted = TrainedTokenizer(vocab_size=200_000)
    tokenizer, training = train_tokenizer(lambda: ["the cat and the dog"] * 5, wanted)
    (warning,) = training.warnings()
    assert f"has {len(tokenizer)} types, not the 200,000 of tokenizer.vocab_size" in warning
    assert Training("wordpiece", 1000, 990, 1.0, []).warnings() == []


def test_long_words_without_spaces_are_read() -> None:
    texts = ["ภาษาไทย" * 40]
    assert len(texts[0]) > 100
    tokenizer = train(texts * 3, 300)
    assert tokenizer.unk_token_id not in encoder(tokenizer)(texts)[0]


_PROGRAM = """
import hashlib
from entromask import spec
from entromask.text.corpus import open_corpus
from entromask.text.trained import train_tokenizer
texts = list(open_corpus(spec.BuiltinCorpus()).documents("train"))[:60]
texts += ["\\u4e00\\u4e8c\\u4e09 \\u304c\\u304e", "हिन्दी की किताब"] * 9
for algorithm in ("wordpiece", "byte-bpe", "unigram"):
    wanted = spec.TrainedTokenizer(vocab_size=900, algorithm=algorithm)
    tokenizer, _ = train_tokenizer(lambda: texts, wanted)
    state = tokenizer.backend_tokenizer.to_str()
    print(algorithm, hashlib.sha256(state.encode()).hexdigest())
"""


@pytest.mark.slow
def test_every_process_gets_the_same_bytes() -> None:
    digests = []
    for number in range(3):
        environment = os.environ | {
            "PYTHONHASHSEED": str(number),
            "RAYON_NUM_THREADS": str(1 + number),
            "TOKENIZERS_PARALLELISM": "true",
        }
        answer = subprocess.run(
            [sys.executable, "-c", _PROGRAM], env=environment, check=True, capture_output=True
        )
        digests.append(answer.stdout.decode())
    assert len(set(digests)) == 1
    assert digests[0].count("\n") == len(ALGORITHMS)


# SHA-256 of the vocabulary's tokens in the order of their ids, by the version before the keys.
_FORMER = "d2ac5255ed2362a97e0dd1b5840436bf96648d1e58d6fb1b118b3063461028b9"


def test_a_former_spec_gets_the_former_vocabulary() -> None:
    texts = [*corpus("vietnamese"), "".join(chr(0x4E00 + i) for i in range(1200))]
    former = TrainedTokenizer(vocab_size=5000, strip_accents=None)
    tokenizer, _ = train_tokenizer(lambda: texts, former)
    vocabulary = tokenizer.get_vocab()
    assert encoder(tokenizer)(["má"]) == encoder(tokenizer)(["ma"])
    assert sum(len(token) == 1 for token in vocabulary) == 1000
    tokens = "\n".join(sorted(vocabulary, key=lambda token: vocabulary[token]))
    assert hashlib.sha256(tokens.encode()).hexdigest() == _FORMER

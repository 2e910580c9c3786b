"""One reading of a text: frame tokens as characters, all other added tokens as tokens."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tokenizers import AddedToken

from entromask.text.encoding import (
    encode_with_offsets,
    encoder,
    frame_ids,
    frame_tokens,
    plain_backend,
    word_encoder,
)
from tests.entromask.text import trained as families
from tests.entromask.text.trained import TEXTS, train

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FAMILIES: dict[str, Callable[[], Any]] = {
    "wordpiece": families.wordpiece,
    "cased wordpiece": families.cased_wordpiece,
    "byte-level": families.byte_level,
    "unigram": families.unigram,
    "unigram, unsplit": lambda: families.unigram(split=False),
    "trained byte-bpe": lambda: train(TEXTS, 320, algorithm="byte-bpe"),
    "trained unigram": lambda: train(TEXTS, 200, algorithm="unigram", lowercase=False),
}
ENTITY = AddedToken("[ENT]", special=True, normalized=False, lstrip=False, rstrip=False)


@pytest.fixture(params=FAMILIES, scope="module")
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    """A tokenizer with an additional special token and an added one that is not special."""
    made: PreTrainedTokenizerBase = FAMILIES[request.param]()
    made.add_special_tokens({"extra_special_tokens": [ENTITY]})
    made.add_tokens([AddedToken("zzqq", special=False)])
    return made


def test_frame_tokens_are_those_with_a_role(tokenizer: PreTrainedTokenizerBase) -> None:
    assert sorted(frame_tokens(tokenizer)) == ["[CLS]", "[MASK]", "[PAD]", "[SEP]", "[UNK]"]
    assert frame_ids(tokenizer) == [0, 1, 2, 3, 4]
    assert tokenizer.convert_tokens_to_ids("[ENT]") in tokenizer.all_special_ids


def test_frame_tokens_in_a_text_are_characters(tokenizer: PreTrainedTokenizerBase) -> None:
    spelt = [f"the {token} people{token}" for token in frame_tokens(tokenizer)]
    frame = set(frame_ids(tokenizer)) - {tokenizer.unk_token_id}
    for ids in encoder(tokenizer)(spelt):
        assert not frame & set(ids)
        assert len(ids) > 2


def test_other_added_tokens_are_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    entity, plain = tokenizer.convert_tokens_to_ids(["[ENT]", "zzqq"])
    (ids,) = encoder(tokenizer)(["the [ENT] sees zzqq[ENT]"])
    assert [token for token in ids if token in (entity, plain)] == [entity, plain, entity]


@pytest.mark.parametrize("text", ["the [ENT] sees zzqq", "believing[ENT]", " [ENT]  zzqq.", ""])
def test_ordinary_text_reads_as_transformers_reads_it(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    expected = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert encoder(tokenizer)([text]) == [expected]


def test_offsets_and_words_come_with_the_same_ids(tokenizer: PreTrainedTokenizerBase) -> None:
    text = "the [ENT] sees [MASK] zzqq"
    (ids,) = encoder(tokenizer)([text])
    found, offsets = encode_with_offsets(tokenizer, text)
    assert found == ids
    entity = tokenizer.convert_tokens_to_ids("[ENT]")
    start, end = offsets[ids.index(entity)]
    assert text[start:end].strip() == "[ENT]"
    encode = word_encoder(tokenizer)
    assert encode is not None
    ((same, begins),) = encode([text])
    assert same.tolist() == ids
    assert begins[ids.index(entity)]
    assert begins[ids.index(entity) + 1]


@pytest.mark.parametrize("flags", [*itertools.product((False, True), repeat=4)])
def test_flags_of_added_tokens_stay(flags: tuple[bool, ...]) -> None:
    tokenizer = train(TEXTS, 200, algorithm="unigram", lowercase=False)
    names = ["lstrip", "rstrip", "normalized", "single_word"]
    token = AddedToken("<E>", special=True, **dict(zip(names, flags, strict=True)))
    tokenizer.add_special_tokens({"extra_special_tokens": [token]})
    for text in ("the <E> people", "the<E>people", "<E>", "the  <E>  <E> see"):
        expected = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert encoder(tokenizer)([text]) == [expected]


def test_ids_of_every_token_stay(tokenizer: PreTrainedTokenizerBase) -> None:
    plain = plain_backend(tokenizer)
    hidden = set(frame_tokens(tokenizer))
    for token, number in tokenizer.get_vocab().items():
        if token not in hidden:
            assert plain.token_to_id(token) == number
    assert plain.get_vocab_size() == len(tokenizer)


def test_frame_tokens_added_behind_the_vocabulary_keep_their_ids() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    model = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model,
        unk_token="?",
        pad_token="<p>",
        cls_token="<c>",
        sep_token="<s>",
        mask_token="<m>",
    )
    tokenizer.add_tokens(["<x>"])
    assert tokenizer("a <m> <x> b", add_special_tokens=False)["input_ids"][2] == 7
    assert encoder(tokenizer)(["a <m> <x> b"]) == [[0, 2, 7, 1]]


def test_a_tokenizer_in_pure_python_reads_the_same(tmp_path: Any) -> None:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    fast = train(TEXTS, 200)
    vocabulary = sorted(fast.get_vocab(), key=lambda token: fast.get_vocab()[token])
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    for tokenizer in (fast, slow):
        tokenizer.add_special_tokens({"extra_special_tokens": [ENTITY]})
        tokenizer.add_tokens([AddedToken("zzqq", special=False)])
    texts = [*TEXTS[:3], "the [ENT] sees zzqq[ENT]", "[MASK]", "the [MASK] [SEP]people", ""]
    assert frame_ids(slow) == frame_ids(fast)
    assert encoder(slow)(texts) == encoder(fast)(texts)


def test_the_plain_copy_is_a_copy(tokenizer: PreTrainedTokenizerBase) -> None:
    before = json.loads(tokenizer.backend_tokenizer.to_str())  # type: ignore[attr-defined]
    encoder(tokenizer)(["the [MASK]"])
    assert json.loads(tokenizer.backend_tokenizer.to_str()) == before  # type: ignore[attr-defined]

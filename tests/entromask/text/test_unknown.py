"""Unknown tokens: counted by tokens and by characters, with what was lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from entromask.text.encoding import encoder
from entromask.text.unknown import MOST_UNKNOWN, UnknownText, name_of, unknown_warning
from tests.entromask.text import trained as families
from tests.entromask.text.scripts import SENTENCES
from tests.entromask.text.trained import TEXTS, train


def counted(tokenizer: Any, texts: list[str]) -> UnknownText:
    counting = UnknownText(tokenizer)
    for text, ids in zip(texts, encoder(tokenizer)(texts), strict=True):
        counting.add((text,), ids)
    return counting


def test_a_word_with_one_unknown_character_is_lost_whole() -> None:
    tokenizer = families.wordpiece()
    found = counted(tokenizer, ["the things ωthings жthingsж", "the people"])
    known = len(encoder(tokenizer)(["the things the people"])[0])
    assert found.counts.tokens == known + 2
    assert found.counts.unknown_tokens == 2
    assert found.counts.lost == Counter({"ж": 2, "ω": 1})
    data = found.counts.data()
    assert data["unknown_token_share"] == pytest.approx(2 / (known + 2))
    # "the things ωthings жthingsж the people" without spaces, of which 7 + 8 are lost.
    assert data["unknown_character_share"] == pytest.approx((7 + 8) / (3 + 6 + 7 + 8 + 3 + 6))
    assert data["unknown_characters"] == [["ж", 2], ["ω", 1]]


@pytest.mark.parametrize("script", SENTENCES)
def test_characters_are_counted_in_every_script(script: str) -> None:
    text = SENTENCES[script]
    tokenizer = train(["only latin letters"] * 5, 200, algorithm="unigram")
    found = counted(tokenizer, [text]).counts
    vocabulary = set(tokenizer.get_vocab())
    lower = tokenizer.backend_tokenizer.normalizer.normalize_str(text)
    lacking = Counter(one for one in lower if not one.isspace() and one not in vocabulary)
    assert found.lost == lacking
    assert found.characters == len("".join(text.split()))
    assert found.unknown_characters >= sum(lacking.values()) > 0


@pytest.mark.parametrize("script", SENTENCES)
def test_bytes_lose_nothing(script: str) -> None:
    tokenizer = train(["only latin letters"] * 5, 320, algorithm="byte-bpe")
    assert counted(tokenizer, [SENTENCES[script]]).counts.data() == {
        "unknown_token_share": 0.0,
        "unknown_character_share": 0.0,
    }


def test_a_word_that_is_too_long_counts_as_lost() -> None:
    tokenizer = train(TEXTS, 200, strip_accents=None)  # a limit of 100, as BERT's
    text = "the " + "e" * 101 + " people"
    data = counted(tokenizer, [text]).counts.data()
    assert data["words_too_long"] == 1
    assert data["unknown_characters"] == [["e", 101]]
    assert data["unknown_character_share"] == pytest.approx(101 / 110)
    warning = unknown_warning("the corpus", data)
    assert warning is not None
    assert "1 word is longer than the tokenizer reads" in warning


def test_a_tokenizer_in_pure_python_counts_alike(tmp_path: Any) -> None:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    fast = train(TEXTS, 200)
    vocabulary = sorted(fast.get_vocab(), key=lambda token: fast.get_vocab()[token])
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    texts = ["the ωthings жthingsж", "people"]
    assert counted(slow, texts).counts == counted(fast, texts).counts


def test_a_warning_names_the_ten_characters_lost_most() -> None:
    lost = [chr(0x436 + i) for i in range(12)]
    text = " ".join(one for place, one in enumerate(lost) for _ in range(20 - place))
    data = counted(families.wordpiece(), [f"the people {text}"]).counts.data()
    warning = unknown_warning("the corpus", data)
    assert warning is not None
    assert "of the tokens of the corpus are unknown to the tokenizer" in warning
    assert f"'{lost[0]}' (20)" in warning
    assert f"'{lost[9]}' (11)" in warning
    assert lost[10] not in warning


@pytest.mark.parametrize("share", [0.0, MOST_UNKNOWN])
def test_little_that_is_unknown_gives_no_warning(share: float) -> None:
    data = {"unknown_token_share": share, "unknown_character_share": share}
    assert unknown_warning("the corpus", data) is None
    assert unknown_warning("the corpus", {}) is None
    assert unknown_warning("the corpus", data | {"unknown_character_share": 0.006}) is not None


def test_characters_that_cannot_be_seen_have_their_code_point() -> None:
    assert name_of("ж") == "'ж'"
    assert name_of("\u200d") == "U+200D"
    assert name_of("\u0301") == "'\u0301' (U+0301)"

"""Rows of texts and pairs: the ids of transformers for ordinary text, and what is lost counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import processors

from entromask.text.sequences import Reading, encode_sequences, reading_warnings
from tests.entromask.text import trained as families
from tests.entromask.text.trained import TEXTS, train

FIRST = ["the people", TEXTS[0], "nobody reads", "", TEXTS[2], "see"]
SECOND = ["see things", "people", TEXTS[1], "everybody", TEXTS[0], "x"]


def bert() -> Any:
    return train(TEXTS, 200)


def roberta() -> Any:
    """Byte-level, with two separators between the texts of a pair and no second segment."""
    tokenizer = train(TEXTS, 320, algorithm="byte-bpe")
    tokenizer.backend_tokenizer.post_processor = processors.RobertaProcessing(
        ("[SEP]", 3), ("[CLS]", 2), False, False
    )
    return tokenizer


def modernbert() -> Any:
    """Byte-level, with the frame of BERT."""
    return train(TEXTS, 320, algorithm="byte-bpe")


def unigram() -> Any:
    return train(TEXTS, 200, algorithm="unigram")


def cut_in_front() -> Any:
    tokenizer = bert()
    tokenizer.truncation_side = "left"
    return tokenizer


KINDS: dict[str, Callable[[], Any]] = {
    one.__name__: one for one in (bert, roberta, modernbert, unigram, cut_in_front)
}


@pytest.mark.parametrize("longest", [8, 16, 24, 500])
@pytest.mark.parametrize("columns", [[FIRST], [FIRST, SECOND]], ids=["texts", "pairs"])
@pytest.mark.parametrize("kind", KINDS)
def test_ordinary_text_gives_the_ids_of_transformers(
    kind: str, columns: list[list[str]], longest: int
) -> None:
    tokenizer = KINDS[kind]()
    expected = tokenizer(*columns, truncation=True, max_length=longest, return_token_type_ids=True)
    whole = tokenizer(*columns)["input_ids"]
    found = encode_sequences(tokenizer, columns, longest)
    assert found.ids == expected["input_ids"]
    assert found.segments == expected["token_type_ids"]
    lengths = [len(row) for row in whole]
    frame = len(tokenizer(*([""] for _ in columns))["input_ids"][0])
    cut = [length - longest for length in lengths if length > longest]
    assert found.reading.data()["truncated_row_share"] == len(cut) / len(FIRST)
    assert found.reading.data()["truncated_token_share"] == pytest.approx(
        sum(cut) / (sum(lengths) - frame * len(FIRST))
    )


def test_a_tokenizer_in_pure_python_gives_its_own_ids(tmp_path: Any) -> None:
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    fast = bert()
    vocabulary = sorted(fast.get_vocab(), key=lambda token: fast.get_vocab()[token])
    (tmp_path / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    slow = BertTokenizerLegacy(str(tmp_path / "vocab.txt"))
    for columns in ([FIRST], [FIRST, SECOND]):
        expected = slow(*columns, truncation=True, max_length=16, return_token_type_ids=True)
        found = encode_sequences(slow, columns, 16)
        assert found.ids == expected["input_ids"]
        assert found.segments == expected["token_type_ids"]
        same = encode_sequences(fast, columns, 16)
        assert found.ids == same.ids
        assert found.reading == same.reading


@pytest.mark.parametrize("kind", KINDS)
def test_frame_tokens_that_a_text_spells_are_characters(kind: str) -> None:
    tokenizer = KINDS[kind]()
    found = encode_sequences(tokenizer, [["the [MASK] people"], ["see[SEP] [CLS]things"]], 200)
    (row,) = found.ids
    assert tokenizer.mask_token_id not in row
    assert row.count(tokenizer.cls_token_id) == 1
    assert row.count(tokenizer.sep_token_id) == (3 if kind == "roberta" else 2)


def test_unknown_tokens_are_counted_without_the_frame() -> None:
    tokenizer = families.wordpiece()
    found = encode_sequences(tokenizer, [["the ж people"], ["ω"]], 200)
    tokens = len(found.ids[0]) - 3
    assert found.reading.data()["unknown_token_share"] == 2 / tokens
    assert found.reading.unknown.lost == {"ж": 1, "ω": 1}
    # What is cut off counts as well: it is the text of the task.
    cut = encode_sequences(tokenizer, [["the ж people"], ["ω"]], 5)
    assert cut.reading.unknown == found.reading.unknown


def test_counts_of_splits_add_up_and_stay_what_they_were() -> None:
    tokenizer = families.wordpiece()
    parts = [encode_sequences(tokenizer, [texts], 12).reading for texts in (FIRST, SECOND)]
    before = [part.data() for part in parts]
    total = Reading()
    for part in parts:
        total.merge(part)
    whole = encode_sequences(tokenizer, [[*FIRST, *SECOND]], 12).reading
    assert total == whole
    assert [part.data() for part in parts] == before


@pytest.mark.parametrize(("share", "warned"), [(0.05, False), (0.051, True)])
def test_many_rows_that_are_cut_give_a_warning(share: float, warned: bool) -> None:
    data = {"truncated_row_share": share, "truncated_token_share": 0.25}
    warnings = reading_warnings("rte", data)
    assert len(warnings) == warned
    if warned:
        assert "5.1% of the rows of rte are longer than the model reads" in warnings[0]
        assert "25.0% of the tokens" in warnings[0]


def test_results_of_earlier_versions_give_no_warning() -> None:
    assert reading_warnings("rte", {"score": 0.5}) == []

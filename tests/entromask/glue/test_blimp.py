from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerBase

from entromask.glue.blimp import pseudo_log_likelihood, score_blimp, subsample
from entromask.glue.data import Columns, load_task
from entromask.modeling.architectures import build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.modeling.references import load_masked_lm
from entromask.spec import Model, ModelReference, TaskSource
from tests.entromask.text import trained as families
from tests.entromask.text.trained import TEXTS, train

SENTENCES = [
    "The configuration describes serialization.",
    "The configuration describes a unittest.",
    "Return the value.",
    "Return the value.",
    "Don't reconfigure the interpreter's multiprocessing!",
]


@pytest.fixture(scope="module")
def model(model_dir: Path) -> SparseMaskedLM:
    loaded = load_masked_lm(ModelReference(path=str(model_dir)))
    with torch.no_grad():  # away from the uniform predictions of fresh weights
        for parameter in loaded.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    return loaded


@pytest.fixture
def pairs(glue_dir: Path) -> Columns:
    return load_task("blimp", TaskSource(local=str(glue_dir))).splits["validation"]


def by_hand(model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase, sentence: str) -> float:
    """arXiv:2305.10588, one forward pass a token, on the full logits of the plain model."""
    encoded = tokenizer(sentence)
    ids, words = encoded["input_ids"], encoded.word_ids()
    total = 0.0
    for place, word in enumerate(words):
        if word is None:
            continue
        hidden = [
            tokenizer.mask_token_id if later >= place and words[later] == word else token
            for later, token in enumerate(ids)
        ]
        with torch.inference_mode():
            logits = model.model(input_ids=torch.tensor([hidden])).logits[0, place].double()
        total += float(logits.log_softmax(-1)[ids[place]])
    return total


def test_scores_are_those_of_masking_each_token_by_hand(
    model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    scores, cut = pseudo_log_likelihood(model, tokenizer, SENTENCES)
    pieces = [len(tokenizer.tokenize(sentence)) for sentence in SENTENCES]
    words = [len(sentence.split()) for sentence in SENTENCES]
    assert pieces[0] > words[0] + 1, "the test needs words of several pieces"
    expected = [by_hand(model, tokenizer, sentence) for sentence in SENTENCES]
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    assert scores[2] == scores[3]
    assert len(set(scores)) == 4
    assert not cut.any()


def test_the_score_does_not_depend_on_the_company(
    model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    from entromask.glue import blimp

    expected, _ = pseudo_log_likelihood(model, tokenizer, SENTENCES)
    monkeypatch.setattr(blimp, "_CHUNK_TOKENS", 100)
    monkeypatch.setattr(blimp, "_BATCH_TOKENS", {"cpu": 40})
    again, _ = pseudo_log_likelihood(model, tokenizer, SENTENCES[::-1])
    np.testing.assert_allclose(again[::-1], expected, rtol=1e-5)


def test_an_empty_sentence_scores_nothing(
    model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    scores, _ = pseudo_log_likelihood(model, tokenizer, ["", "Return."])
    assert scores[0] == 0
    assert scores[1] < 0


def test_a_sentence_longer_than_the_model_is_cut_and_counted(
    make_folder: Callable[..., Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    short = load_masked_lm(ModelReference(path=str(make_folder("bert", length=8))))
    pair = ["return the value of the first argument", "return the value of the first error"]
    result = score_blimp(
        short,
        tokenizer,
        {
            "sentence_good": pair[:1],
            "sentence_bad": pair[1:],
            "UID": ["one"],
            "linguistics_term": ["binding"],
        },
    )
    assert result["truncated"] == 1


def test_accuracy_is_the_mean_of_paradigms_and_a_tie_counts_half(
    model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    likely, unlikely = SENTENCES[2], SENTENCES[0]
    scores, _ = pseudo_log_likelihood(model, tokenizer, [likely, unlikely])
    assert scores[0] > scores[1]
    result = score_blimp(
        model,
        tokenizer,
        {
            "sentence_good": [likely, likely, likely, unlikely, likely],
            "sentence_bad": [unlikely, unlikely, unlikely, likely, likely],
            "UID": ["a", "a", "a", "b", "c"],
            "linguistics_term": ["s-selection"] * 3 + ["argument_structure", "binding"],
        },
    )
    assert result["paradigms"] == {"a": 1.0, "b": 0.0, "c": 0.5}
    assert result["accuracy"] == 0.5
    assert result["phenomena"] == {"argument_structure": 0.5, "binding": 0.5}
    assert result["ties"] == 1


def test_progress_counts_every_token(
    model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase, pairs: Columns
) -> None:
    seen: list[tuple[int, int]] = []
    score_blimp(model, tokenizer, pairs, lambda *step: seen.append(step))
    distinct = {*pairs["sentence_good"], *pairs["sentence_bad"]}
    tokens = sum(len(tokenizer.tokenize(sentence)) for sentence in distinct)
    assert seen[-1] == (tokens, tokens)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_subsample_is_nested_balanced_and_does_not_depend_on_the_order(pairs: Columns) -> None:
    def chosen(columns: Columns, count: int) -> set[tuple[Any, ...]]:
        return set(zip(*subsample(columns, count).values(), strict=True))

    turned = {name: values[::-1] for name, values in pairs.items()}
    assert chosen(pairs, 2) == chosen(turned, 2) < chosen(pairs, 3)
    assert sorted(subsample(pairs, 2)["UID"]) == [f"paradigm_{i}" for i in (0, 0, 1, 1, 2, 2)]
    assert subsample(pairs, None) is pairs
    assert chosen(pairs, 1000) == set(zip(*pairs.values(), strict=True))


FAMILIES: dict[str, Callable[[], Any]] = {
    "wordpiece": lambda: train(TEXTS, 200),
    "byte-level": lambda: train(TEXTS, 320, algorithm="byte-bpe"),
    "unigram": lambda: train(TEXTS, 200, algorithm="unigram"),
    "unigram that reads a text as one word": lambda: families.unigram(split=False),
}
STRANGE = [
    "nobody rereads unbelievable things",
    "the people [MASK] see [SEP] things",
    "[MASK] unreadable [MASK]!",
    "isn't seeing believing",
]


def words_by_hand(tokenizer: PreTrainedTokenizerBase, sentence: str) -> tuple[Any, list[int]]:
    """The ids of a sentence, and the number of each token's word.

    A word ends where the word id of the tokenizer changes, or at white space. What a sentence
    spells of the frame is text: the tokenizer is told so by its own switch.
    """
    backend = tokenizer.backend_tokenizer  # type: ignore[attr-defined]
    copy = type(backend).from_str(backend.to_str())
    copy.encode_special_tokens = True
    encoded = copy.encode(sentence, add_special_tokens=False)
    words, number, end = [], -1, 0
    for place, (start, stop) in enumerate(encoded.offsets):
        new = place == 0 or encoded.word_ids[place] != encoded.word_ids[place - 1]
        gap = sentence[end:start] + sentence[start : start + 1]
        number += new or any(one.isspace() for one in gap)
        words.append(number)
        end = stop
    return encoded.ids, words


def slow_reference(
    model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase, sentence: str
) -> float:
    ids, words = words_by_hand(tokenizer, sentence)
    total = 0.0
    for place, word in enumerate(words):
        hidden = [
            tokenizer.mask_token_id if later >= place and words[later] == word else token
            for later, token in enumerate(ids)
        ]
        row = [tokenizer.cls_token_id, *hidden, tokenizer.sep_token_id]
        with torch.inference_mode():
            logits = model.model(input_ids=torch.tensor([row])).logits[0, 1 + place].double()
        total += float(logits.log_softmax(-1)[ids[place]])
    return total


@pytest.mark.parametrize("family", FAMILIES)
def test_scores_are_those_of_a_slow_reference_in_every_family(family: str) -> None:
    tokenizer = FAMILIES[family]()
    described = Model.model_validate({"architecture": "bert", "size": "tiny", "dropout": 0.0})
    small = SparseMaskedLM(build_model(described, tokenizer, 64, 0))
    with torch.no_grad():
        for parameter in small.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
    small.eval()
    # This one's own switch does not keep its model from finding "[MASK]" in its vocabulary.
    spelt = "unigram that" not in family
    sentences = [sentence for sentence in STRANGE if spelt or "[" not in sentence]
    scores, _ = pseudo_log_likelihood(small, tokenizer, sentences)
    expected = [slow_reference(small, tokenizer, sentence) for sentence in sentences]
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    counts = [len(set(words_by_hand(tokenizer, sentence)[1])) for sentence in sentences]
    assert all(n >= len(s.split()) for n, s in zip(counts, sentences, strict=True))


def test_what_is_cut_and_what_is_unknown_is_counted(
    make_folder: Callable[..., Path], tokenizer: PreTrainedTokenizerBase
) -> None:
    short = load_masked_lm(ModelReference(path=str(make_folder("bert", length=8))))
    good, bad = "return the value of the first argument", "return the ж value"
    columns = {
        "sentence_good": [good],
        "sentence_bad": [bad],
        "UID": ["one"],
        "linguistics_term": ["binding"],
    }
    result = score_blimp(short, tokenizer, columns)
    lengths = [len(tokenizer.tokenize(sentence)) for sentence in (good, bad)]
    assert lengths[0] > 6 > lengths[1]
    assert result["truncated_row_share"] == 0.5
    assert result["truncated_token_share"] == (lengths[0] - 6) / sum(lengths)
    assert result["unknown_token_share"] == 1 / sum(lengths)
    assert result["unknown_characters"] == [["ж", 1]]

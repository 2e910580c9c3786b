import math

import numpy as np
import pytest
import torch
from torch import Tensor

from entromask.masking.noise import uniform
from entromask.masking.units import WordStarts, first_positions, unit_means, unit_starts
from entromask.text.encoding import word_encoder
from tests.entromask.masking.tokenizers import CLS, SEP, word_tokenizer
from tests.entromask.text import trained


def noise_of(rows: int, length: int):  # type: ignore[no-untyped-def]
    return lambda stream: uniform(0, stream, 0, torch.arange(rows), length)


def bools(text: str) -> Tensor:
    """One row: 1 is True."""
    return torch.tensor([[one == "1" for one in text]])


def some_words(rows: int, length: int, share: float = 0.7) -> Tensor:
    return torch.rand(rows, length, generator=torch.Generator().manual_seed(0)) < share


def test_a_word_begins_where_it_is_told_and_around_special_tokens() -> None:
    maskable = bools("0111101110")
    words = bools("1100100011")
    expected = bools("1100111011")
    assert torch.equal(unit_starts("word", words, maskable, noise_of(1, 10)), expected)


def test_first_positions_are_those_of_the_unit() -> None:
    assert first_positions(bools("11001011")).tolist() == [[0, 1, 1, 1, 4, 4, 6, 7]]


def test_a_unit_has_the_mean_of_its_scores() -> None:
    scores = torch.tensor([[9.0, 1.0, 2.0, 6.0, 5.0, -1.0, math.nan, 2.0, 4.0, math.inf]])
    first = first_positions(bools("1100101010"))
    before = scores.clone()
    means = unit_means(scores, first)
    assert means.dtype == torch.float64
    expected = [9.0, 3.0, 3.0, 3.0, 2.0, 2.0, math.nan, math.nan, math.inf, math.inf]
    assert torch.equal(means.nan_to_num(-7), torch.tensor([expected]).double().nan_to_num(-7))
    assert torch.equal(scores.nan_to_num(-7), before.nan_to_num(-7))
    assert torch.equal(unit_means(before.double(), first).nan_to_num(-7), means.nan_to_num(-7))


def test_units_of_equal_tokens_have_equal_means() -> None:
    # Sums that are running totals of the row would differ in their last bits.
    word = torch.rand(3, generator=torch.Generator().manual_seed(0)) * 1e-3
    scores = torch.cat([torch.tensor([1e8]), word, torch.rand(7) * 1e5, word])[None]
    means = unit_means(scores, first_positions(bools("11001000000100")))
    assert means[0, 1] == means[0, 11]


def span_words(starts: Tensor, words: Tensor) -> list[int]:
    """Lengths in words of the spans of all rows, but for the last one of each row."""
    lengths = []
    for begins, row in zip(starts.tolist(), words.tolist(), strict=True):
        row_lengths: list[int] = []
        for begin, word in zip(begins, row, strict=True):
            if begin:
                row_lengths.append(0)
            row_lengths[-1] += word
        lengths += row_lengths[:-1]
    return lengths


def test_spans_are_whole_words_of_geometric_lengths() -> None:
    rows, length = 2000, 200
    words = some_words(rows, length)
    words[:, 0] = True
    maskable = torch.ones_like(words)
    starts = unit_starts("span", words, maskable, noise_of(rows, length))
    assert not (starts & ~words).any(), "no span begins within a word"
    found = np.bincount(span_words(starts, words), minlength=11)
    assert len(found) == 11
    expected = 0.2 * 0.8 ** np.arange(10)
    expected /= expected.sum()
    total = found[1:].sum()
    mean = float((np.arange(11) * found).sum() / total)
    assert mean == pytest.approx(float((np.arange(1, 11) * expected).sum()), abs=0.06)
    assert mean == pytest.approx(3.8, abs=0.06)
    # Long spans are left out a little more often, being cut by the end of the row.
    assert np.abs(found[1:] / total - expected).max() < 0.006


def test_spans_end_at_special_tokens_and_begin_anew_behind_them() -> None:
    rows, length = 4000, 60
    words = some_words(rows, length)
    maskable = torch.ones_like(words)
    maskable[:, [0, 20, 21, -1]] = False
    starts = unit_starts("span", words, maskable, noise_of(rows, length))
    assert starts[~maskable].all()
    assert starts[:, [1, 22]].all()
    # The length of the first span behind a special token is as free as that of any other.
    cut = words.clone()
    cut[:, 22] = True
    run = span_words(starts[:, 22:], cut[:, 22:])
    first = [
        span_words(starts[row : row + 1, 22:], cut[row : row + 1, 22:])[0] for row in range(500)
    ]
    assert np.mean(first) == pytest.approx(3.8, abs=5 * 2.6 / 500**0.5)
    assert max(run) == 10


def test_the_spans_of_a_row_do_not_depend_on_what_its_other_run_holds() -> None:
    words, maskable = some_words(50, 60), torch.ones(50, 60, dtype=torch.bool)
    maskable[:, 30] = False
    other = words.clone()
    other[:, :30] = ~other[:, :30]
    noise = noise_of(50, 60)
    a, b = (unit_starts("span", one, maskable, noise) for one in (words, other))
    assert torch.equal(a[:, 30:], b[:, 30:])
    assert not torch.equal(a[:, :30], b[:, :30])


@pytest.mark.parametrize("family", ["wordpiece", "byte_level", "unigram"])
def test_types_tell_nearly_the_words_of_the_text(family: str) -> None:
    tokenizer = getattr(trained, family)()
    encode = word_encoder(tokenizer)
    assert encode is not None
    types = WordStarts(tokenizer)
    for text, (ids, begins) in zip(trained.TEXTS[:3], encode(trained.TEXTS[:3]), strict=True):
        assert not begins.all()
        assert types(torch.from_numpy(ids)[None])[0].tolist() == begins.tolist(), text


def test_a_vocabulary_without_marks_has_words_of_one_token() -> None:
    assert WordStarts(word_tokenizer(20))(torch.tensor([[CLS, 7, 8, 9, SEP]])).all()

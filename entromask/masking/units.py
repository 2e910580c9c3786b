"""What is masked as a whole: words and spans, as flags where each unit begins.

A unit is a run of maskable positions of one row. Special tokens are units of their own, so that
no unit crosses one.
"""

from __future__ import annotations

import string
from collections.abc import Callable

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.text.encoding import frame_ids

# Lengths of spans in words: geometric, cut off and renormalised; 3.8 on average (SpanBERT,
# arXiv:1907.10529, section 3.1).
SPAN_P = 0.2
LONGEST_SPAN = 10

# Characters that begin a token with a space or a line break before it: of byte-level BPE (space,
# line feed, tab, carriage return), of SentencePiece.
_MARKERS = ("Ġ", "Ċ", "ĉ", "č"), ("▁",)
_CONTINUED = "##"


class WordStarts:
    """Where words begin in rows of token ids, told by the token types alone.

    A stand-in for the words that a tokenizer finds in the text, where only ids are at hand. It
    goes by the mark that most of the vocabulary's marked types bear: WordPiece's "##" continues a
    word; byte-level BPE's "Ġ" and SentencePiece's "▁" begin one. In byte-level BPE, which marks
    only what a space precedes, a word also begins where letters, digits and punctuation meet, as
    far as the types' ASCII characters show it. Without any mark every token is a word.

    Args:
        tokenizer: of the rows.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        vocabulary = tokenizer.get_vocab()
        size = max(len(tokenizer), max(vocabulary.values(), default=0) + 1)
        # Added tokens are words of their own, whatever their spelling.
        special = {*frame_ids(tokenizer), *tokenizer.get_added_vocab().values()}
        types = {i: token for token, i in vocabulary.items() if token and i not in special}
        counts = {
            mark: sum(token.startswith(mark) for token in types.values())
            for mark in (_CONTINUED, *(markers[0] for markers in _MARKERS))
        }
        mark = max(counts, key=lambda one: counts[one])
        self._begins = torch.ones(size, dtype=torch.bool)
        self._classes: Tensor | None = None  # [V, 2] of the first and the last character
        if not counts[mark]:
            return
        begins = _begins_a_word(mark)
        for i, token in types.items():
            self._begins[i] = begins(token)
        if mark == _MARKERS[0][0]:
            self._classes = torch.zeros(size, 2, dtype=torch.int64)
            for i, token in types.items():
                self._classes[i] = torch.tensor([_class(token[0]), _class(token[-1])])

    def __call__(self, rows: Tensor) -> Tensor:
        """[B, T] bool, on the device of rows [B, T]; the first position of a row begins a word."""
        if self._begins.device != rows.device:
            self._begins = self._begins.to(rows.device)
            self._classes = None if self._classes is None else self._classes.to(rows.device)
        starts = self._begins[rows]
        if self._classes is not None:
            first, last = self._classes[rows].unbind(-1)
            starts[:, 1:] |= first[:, 1:] != last[:, :-1]
        starts[:, :1] = True
        return starts


def unit_starts(
    unit: str, words: Tensor, maskable: Tensor, noise: Callable[[str], Tensor]
) -> Tensor:
    """Where the units of rows begin.

    Args:
        unit: "word" or "span".
        words: [B, T] bool, True where a word begins.
        maskable: [B, T] bool, False at special tokens.
        noise: name of a stream -> [B, T] uniform noise in (0, 1).

    Returns:
        [B, T] bool; True at each position that is not maskable.
    """
    begins = words | _run_starts(maskable)
    return begins if unit == "word" else _span_starts(begins, maskable, noise("span"))


def first_positions(starts: Tensor) -> Tensor:
    """[B, T] int64: for each position the one where its unit begins. starts: [B, T] bool."""
    places = torch.arange(starts.shape[1], device=starts.device)
    return (places * starts).cummax(1).values


def unit_means(scores: Tensor, first: Tensor) -> Tensor:
    """[B, T] float64: at each position the mean score of its unit; a NaN makes it NaN.

    The scores of a unit are added one after the other, so that the sum is the same on any device
    and units of equal tokens tie exactly.

    Args:
        scores: [B, T] floating point.
        first: [B, T] int64, of `first_positions`.
    """
    place = torch.arange(first.shape[1], device=first.device) - first
    scores = scores.to(torch.float64)
    # These count at the first position of a unit only: what stands `after` positions further on
    # belongs to it if that is its place in its unit.
    totals, sizes = scores.clone(), torch.ones_like(first)
    for after in range(1, int(place.max()) + 1 if place.numel() else 0):
        same = place[:, after:] == after
        totals[:, :-after] += scores[:, after:].masked_fill(~same, 0.0)
        sizes[:, :-after] += same
    return (totals / sizes).gather(1, first)


def _run_starts(maskable: Tensor) -> Tensor:
    """[B, T] bool: at each special token, and at the first position behind one or of a row."""
    starts = ~maskable
    starts[:, 1:] |= ~maskable[:, :-1]
    starts[:, :1] = True
    return starts


def _span_starts(words: Tensor, maskable: Tensor, noise: Tensor) -> Tensor:
    """Cuts each run of words between special tokens into spans, from its beginning.

    The j-th span of a run has the length that the noise of the run's j-th position draws; the
    last one ends with the run.

    Args:
        words: [B, T] bool, True where a word begins and at special tokens.
        maskable: [B, T] bool.
        noise: [B, T] uniform in (0, 1).
    """
    starts = _run_starts(maskable)
    first = first_positions(starts)
    number = words.cumsum(1) - 1  # of each position's word, in its row
    lengths = _span_lengths(noise)
    total = lengths.cumsum(1)
    drawn = total - (total - lengths).gather(1, first)  # words of this run's spans up to here
    run = starts.cumsum(1) - 1
    in_run = torch.zeros_like(run).scatter_add_(1, run, words.to(torch.int64)).gather(1, run)
    # The word after each span begins the next one, unless the run ends before it.
    length = words.shape[1]
    next_word = torch.where(drawn < in_run, number.gather(1, first) + drawn, length)
    marked = torch.zeros(len(words), length + 1, dtype=torch.bool, device=words.device)
    marked.scatter_(1, next_word, True)
    return starts | (words & marked.gather(1, number))


def _span_lengths(noise: Tensor) -> Tensor:
    """[B, T] int64 from 1 to LONGEST_SPAN, by the inverse of the lengths' distribution."""
    # A table and no logarithm: its last bits may differ between devices.
    left = [(1 - SPAN_P) ** length for length in range(LONGEST_SPAN + 1)]
    shares = [(1 - one) / (1 - left[-1]) for one in left[1:-1]]
    bounds = torch.tensor(shares, dtype=torch.float64, device=noise.device)
    return torch.bucketize(noise, bounds) + 1


def _begins_a_word(mark: str) -> Callable[[str], bool]:
    if mark == _CONTINUED:
        return lambda token: not token.startswith(_CONTINUED)
    markers = next(markers for markers in _MARKERS if mark in markers)
    return lambda token: token.startswith(markers)


def _class(character: str) -> int:
    """0 for letters and all that is not ASCII, 1 for digits, 2 for punctuation."""
    if character in string.digits:
        return 1
    return 2 if character in string.punctuation else 0

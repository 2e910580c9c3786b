"""BLiMP, zero-shot: does the model find the acceptable sentence of a minimal pair more likely?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.glue.batches import usable_positions
from entromask.glue.data import Columns
from entromask.modeling.entropy import token_log_probability
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.text.encoding import word_encoder
from entromask.text.sequences import Reading
from entromask.text.unknown import UnknownText

Array = np.ndarray[Any, Any]

# The data files give two argument-structure paradigms a term of their own; the paper's twelve
# phenomena do not (arXiv:1912.00582, table 4).
_PHENOMENA = {"s-selection": "argument_structure"}
_OUTCOME = {1.0: "1", 0.5: "=", 0.0: "0"}
# Tokens of a forward pass, and of the masked copies held at once.
_BATCH_TOKENS = {"cpu": 4096, "cuda": 131_072}
_CHUNK_TOKENS = 4_000_000


def score_blimp(
    model: SparseMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Columns,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The share of pairs whose acceptable sentence has the higher pseudo-log-likelihood.

    A tie counts one half.

    Args:
        pairs: columns sentence_good, sentence_bad, linguistics_term and UID (the paradigm).
        on_progress: called with (tokens scored, tokens).

    Returns:
        `accuracy`, the mean over the paradigms; `paradigms` and `phenomena`, the accuracy of each
        (a phenomenon's is the mean of its paradigms); `ties` and `truncated`, counts of pairs;
        `outcomes`, by paradigm one character a pair in their order: 1 won, 0 lost, = tied; the
        shares of `Reading.data`, over the distinct sentences.
    """
    good, bad = pairs["sentence_good"], pairs["sentence_bad"]
    sentences = list(dict.fromkeys([*good, *bad]))
    scores, cut, reading = _scored(model, tokenizer, sentences, on_progress)
    place = {sentence: index for index, sentence in enumerate(sentences)}
    places_good = np.array([place[sentence] for sentence in good])
    places_bad = np.array([place[sentence] for sentence in bad])
    difference = scores[places_good] - scores[places_bad]
    won = (difference > 0) + 0.5 * (difference == 0)
    paradigms = _means(pairs["UID"], won)
    terms = dict(zip(pairs["UID"], pairs["linguistics_term"], strict=True))
    names = [str(_PHENOMENA.get(terms[name], terms[name])) for name in paradigms]
    phenomena = _means(names, list(paradigms.values()))
    return {
        "accuracy": float(np.mean(list(paradigms.values()))),
        "paradigms": paradigms,
        "phenomena": phenomena,
        "ties": int((difference == 0).sum()),
        "truncated": int((cut[places_good] | cut[places_bad]).sum()),
        "outcomes": _outcomes(pairs["UID"], won),
        **reading.data(),
    }


def subsample(pairs: Columns, count: int | None) -> Columns:
    """The first `count` pairs of each paradigm in the order of a hash of their sentences.

    The choice depends neither on the order of the rows nor on a seed; None takes all pairs.
    """
    if count is None:
        return pairs
    by_paradigm: dict[str, list[tuple[bytes, int]]] = {}
    for row, name in enumerate(pairs["UID"]):
        text = f"{pairs['sentence_good'][row]}\n{pairs['sentence_bad'][row]}"
        key = hashlib.sha256(text.encode()).digest()
        by_paradigm.setdefault(name, []).append((key, row))
    chosen = [row for rows in by_paradigm.values() for _, row in sorted(rows)[:count]]
    return {column: [values[row] for row in chosen] for column, values in pairs.items()}


def pseudo_log_likelihood(
    model: SparseMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[str],
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Array, Array]:
    """Sum over a sentence's tokens of ln p(token | the rest), each token masked in turn.

    The pieces to the right within the same word are masked as well, so that a rare word of many
    pieces is not likely merely because its pieces give each other away (arXiv:1910.14659,
    arXiv:2305.10588). Words are the masker's (`word_encoder`): those of the tokenizer's
    pre-tokenizer and of white space. Frame tokens are not scored.

    Returns:
        Scores [N] in nats, float64, and whether a sentence was truncated [N].
    """
    scores, cut, _ = _scored(model, tokenizer, sentences, on_progress)
    return scores, cut


@torch.inference_mode()
def _scored(
    model: SparseMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[str],
    on_progress: Callable[[int, int], None] | None,
) -> tuple[Array, Array, Reading]:
    model.eval()
    rows, reading = _encode(model, tokenizer, sentences)
    scores = np.zeros(len(sentences))
    total, done = sum(len(row.tokens) - 2 for row in rows), 0
    for chunk in _chunks(rows):
        for scored in _score_chunk(model, int(tokenizer.mask_token_id), rows, chunk, scores):
            done += scored
            if on_progress is not None:
                on_progress(done, total)
    return scores, np.array([row.truncated for row in rows], dtype=bool), reading


@dataclass(frozen=True)
class _Row:
    """A sentence: its tokens with [CLS] and [SEP], and where each token's word ends."""

    tokens: Array
    word_ends: Array
    truncated: bool


def _encode(
    model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str]
) -> tuple[list[_Row], Reading]:
    encode = word_encoder(tokenizer)
    if encode is None:
        raise InputError(
            "BLiMP needs a tokenizer that knows where words begin, and "
            f"{type(tokenizer).__name__} does not",
            "save the tokenizer as tokenizer.json",
        )
    limit = usable_positions(model.config) - 2
    frame = [tokenizer.cls_token_id], [tokenizer.sep_token_id]
    rows, reading, unknown = [], Reading(), UnknownText(tokenizer)
    for sentence, (tokens, begins) in zip(sentences, encode(list(sentences)), strict=True):
        reading.add(len(tokens), max(0, len(tokens) - limit))
        unknown.add((sentence,), tokens)
        framed = np.concatenate([frame[0], tokens[:limit], frame[1]]).astype(np.int32)
        # The last place of each token's word, counted with [CLS] in front.
        word = np.cumsum(begins[:limit])
        word_ends = np.searchsorted(word, word, side="right")
        rows.append(_Row(framed, word_ends, len(tokens) > limit))
    reading.unknown = unknown.counts
    return rows, reading


def _chunks(rows: Sequence[_Row]) -> Iterator[list[int]]:
    """Sentences of one length: no padding, and no attention mask; empty ones score 0."""
    by_length: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        by_length.setdefault(len(row.tokens), []).append(index)
    for length, members in sorted(by_length.items()):
        if length > 2:
            size = max(1, _CHUNK_TOKENS // (length * (length - 2)))
            yield from (members[i : i + size] for i in range(0, len(members), size))


def _score_chunk(
    model: SparseMaskedLM, mask: int, rows: Sequence[_Row], chunk: list[int], scores: Array
) -> Iterator[int]:
    """Adds the log-probabilities of all tokens of a chunk to `scores`; yields tokens scored."""
    tokens = np.stack([rows[index].tokens for index in chunk])
    ends = np.stack([rows[index].word_ends for index in chunk])
    count, length = tokens.shape
    scored = length - 2
    places = np.arange(length)
    masked = (places >= 1 + np.arange(scored)[:, None]) & (places <= ends[:, :, None])
    copies = np.where(masked, np.int32(mask), tokens[:, None, :]).reshape(-1, length)
    targets = torch.from_numpy(tokens[:, 1:-1].reshape(-1).astype(np.int64))
    asked_at = np.tile(1 + np.arange(scored, dtype=np.int32), count)
    # Two sentences that differ in one token share the copy that hides it, with the place asked.
    unique, inverse = _unique(np.column_stack([asked_at, copies]))
    order = np.argsort(inverse, kind="stable")
    device = next(model.parameters()).device
    weight, bias = model.projection()
    size = max(1, _BATCH_TOKENS.get(device.type, 4096) // length)
    bounds = np.searchsorted(inverse[order], np.arange(0, len(unique) + size, size))
    logs = np.empty(len(copies))
    for batch, (start, end) in enumerate(pairwise(bounds)):
        part = torch.from_numpy(unique[batch * size : (batch + 1) * size].astype(np.int64))
        inputs = part[:, 1:].contiguous()
        where = torch.from_numpy(places) == part[:, :1]
        states = model.states(inputs.to(device), where=where.to(device))
        asked = order[start:end]
        source = torch.from_numpy(inverse[asked] - batch * size).to(device)
        values = token_log_probability(states[source], weight, bias, targets[asked].to(device))
        logs[asked] = values.double().cpu().numpy()
        yield len(asked)
    scores[chunk] = logs.reshape(count, scored).sum(1)


def _unique(rows: Array) -> tuple[Array, Array]:
    """The distinct rows, and the place of each row among them."""
    keys = np.ascontiguousarray(rows).view(f"V{rows.shape[1] * rows.itemsize}").reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], inverse.reshape(-1)


def _outcomes(names: Sequence[str], won: Array) -> dict[str, str]:
    groups: dict[str, list[str]] = {}
    for name, value in zip(names, won.tolist(), strict=True):
        groups.setdefault(name, []).append(_OUTCOME[value])
    return {name: "".join(groups[name]) for name in sorted(groups)}


def _means(names: Sequence[str], values: Sequence[float] | Array) -> dict[str, float]:
    groups: dict[str, list[float]] = {}
    for name, value in zip(names, values, strict=True):
        groups.setdefault(name, []).append(float(value))
    return {name: float(np.mean(groups[name])) for name in sorted(groups)}

"""What a model expects at every token of a text, and what masking presets would hide in it.

`previewer.Previewer` finds and keeps the models; the service and the command line call that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from entromask.analysis.preview_masks import Row, agreement, preset_entries, resolved_presets
from entromask.analysis.preview_scores import PreviewScores, RowScore
from entromask.errors import InputError
from entromask.glue.batches import usable_positions
from entromask.masking.masker import check_tokenizer
from entromask.masking.scoring import evaluating
from entromask.modeling.entropy import token_entropy, token_log_probability
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.text.encoding import encode_with_offsets, frame_ids, word_encoder
from entromask.text.unicode import replace_surrogates

# Every token is hidden once, in a pass of its own: the time grows with the square of a window.
MOST_TOKENS = 4096
LONGEST_WINDOW = 512
MOST_PREDICTIONS = 50
# Tokens of one forward pass, and logits that are held at once (32 MiB).
_PASS_TOKENS = {"cpu": 1 << 13, "cuda": 1 << 16}
_LOGITS = 8 * 1024 * 1024


@dataclass(frozen=True)
class Window:
    """A part of the text as the model reads it: [CLS], tokens, [SEP].

    `row` is [T] int64 on the model's device; `offsets` has one pair of code points each, empty
    for the frame; `first` is the position of [CLS] among all tokens of the preview.
    """

    row: Tensor
    offsets: list[tuple[int, int]]
    first: int


def preview(
    model: SparseMaskedLM | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    presets: Sequence[str] = (),
    rate: float | None = None,
    seed: int = 0,
    masked: Iterable[int] | None = None,
    top: int = 5,
    progress: float = 0.0,
    scores: Mapping[str, RowScore] | None = None,
) -> dict[str, Any]:
    """The body of POST /v1/previews: plain data, ready for JSON.

    The text is framed by [CLS] and [SEP] and may become several windows, each with its own frame;
    a token's `position` counts through all of them. Each entry of `tokens` has:

    - `position`, `window`, `id`, `token` (the vocabulary's own spelling);
    - `start` and `end`: code points, so that text[start:end] is what the token stands for; the
      frame's tokens are empty, and several tokens may share a character, as the bytes of an emoji;
    - `special`: a token that is never masked: the frame, and the unknown token;
    - `masked`: hidden because `masked` names it;
    - `entropy`: of the prediction at this position in nats, with the whole text visible except
      for the tokens that `masked` names;
    - `entropy_masked`: the same with this one token hidden as well;
    - `surprisal`: -ln p(the token that stands here), with this one token hidden as well. So it
      belongs to `entropy_masked`, not to `entropy`;
    - `top` and `top_masked`: the likeliest tokens of those two predictions, with probabilities.

    At the frame the last five are null or empty: nothing is ever predicted there.

    `presets` holds what a run with each preset selects in this text once its warm-up is over (see
    `preset_entries`); `masked` has no part in it, since a run scores the text as it is. `agreement`
    compares the probabilities of the presets pairwise, beside what chance gives.

    Args:
        model: a masked language model; left on its device and in the mode it was in.
        text: at most MOST_TOKENS tokens; half of a surrogate pair is read as U+FFFD. Longer than
            the model's rows (at most LONGEST_WINDOW): read in windows that do not overlap. Both
            with a sentence in `warnings`.
        presets: names; their masks are drawn from `seed`, as for a run's first epoch.
        rate: of masking; None: each preset's own.
        masked: positions of tokens to hide.
        top: predictions for each token, 0 to MOST_PREDICTIONS.
        progress: share of a run that is done, from 0 to 1: what a rate with a schedule is then.
        scores: by name, those of `frequency`, `pmi` and `amlm` that there are: functions from
            token ids [B, T] to scores [B, T]. A preset whose score is missing says so.

    Raises:
        InputError: an argument cannot be used; the sentence starts with its name. Or model and
            tokenizer do not fit, or the model's predictions are not finite.
    """
    sparse = model if isinstance(model, SparseMaskedLM) else SparseMaskedLM(model)
    text, replaced = replace_surrogates(text)
    _check_arguments(text, seed, top, progress)
    maskings = resolved_presets(presets, rate)
    check_tokenizer(tokenizer)
    windows = _windows(sparse, tokenizer, text)
    hidden = _hidden(masked, windows, tokenizer)
    with evaluating(sparse):
        tokens = [
            token
            for number, window in enumerate(windows)
            for token in _tokens(sparse, tokenizer, window, number, hidden, top)
        ]
        units = any(masking.unit != "token" for masking in maskings.values())
        rows = _rows(windows, tokenizer, text) if units else [Row(one.row) for one in windows]
        known = PreviewScores(sparse, tokenizer, [row.ids for row in rows], scores or {})
        entries = preset_entries(tokenizer, rows, maskings, known, seed, progress)
    return {
        "object": "preview",
        "seed": seed,
        "progress": float(progress),
        "max_entropy": math.log(len(sparse.projection()[0])),
        "tokens": tokens,
        "presets": entries,
        "agreement": agreement(entries, _maskable(windows, tokens)),
        "warnings": [*_replaced(replaced), *_warnings(windows, tokens)],
    }


def _check_arguments(text: str, seed: int, top: int, progress: float) -> None:
    if not text.strip():
        what = "is empty" if not text else "has nothing but white space"
        raise InputError(f"text: {what}", "give a sentence or two")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"seed: {seed!r} is not a whole number from 0 to {2**32 - 1}")
    if isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= MOST_PREDICTIONS:
        raise InputError(f"top: {top!r} is not a whole number from 0 to {MOST_PREDICTIONS}")
    number = isinstance(progress, int | float) and not isinstance(progress, bool)
    if not (number and 0 <= progress <= 1):
        raise InputError(
            f"progress: must be between 0 and 1, not {progress!r}",
            "0 is the start of a run, 1 its end",
        )


def _windows(model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase, text: str) -> list[Window]:
    ids, offsets = encode_with_offsets(tokenizer, text)
    if not ids:
        raise InputError("text: the tokenizer finds no token in it", "give a sentence or two")
    if len(ids) > MOST_TOKENS:
        raise InputError(
            f"text: has {len(ids):,} tokens; at most {MOST_TOKENS:,} are allowed",
            "give a shorter part of it",
        )
    frame = [int(tokenizer.cls_token_id), int(tokenizer.sep_token_id)]
    predicted = len(model.projection()[0])
    if max(*ids, *frame, int(tokenizer.mask_token_id)) >= predicted:
        raise InputError(
            f"the model predicts {predicted:,} types, and its tokenizer has {len(tokenizer):,}",
            "use the tokenizer that the model was trained with",
        )
    width = min(usable_positions(model.config), LONGEST_WINDOW) - len(frame)
    device = next(model.parameters()).device
    # Of nearly equal length: no window has only a few tokens of context.
    count = -(-len(ids) // width)
    bounds = [len(ids) * number // count for number in range(count + 1)]
    windows = []
    for number, (start, end) in enumerate(pairwise(bounds)):
        part = slice(start, end)
        inside = offsets[part]
        windows.append(
            Window(
                torch.tensor([frame[0], *ids[part], frame[1]], device=device),
                [(inside[0][0],) * 2, *inside, (inside[-1][1],) * 2],
                start + number * len(frame),
            )
        )
    return windows


def _rows(windows: list[Window], tokenizer: PreTrainedTokenizerBase, text: str) -> list[Row]:
    """The windows with the words of the text, as packing finds them; the frame begins words."""
    encode = word_encoder(tokenizer)
    assert encode is not None, "it knows offsets"
    [(_, begins)] = encode([text])
    found, done = [], 0
    for window in windows:
        words = torch.ones(len(window.row), dtype=torch.bool)
        inside = len(window.row) - 2
        words[1:-1] = torch.from_numpy(begins[done : done + inside])
        done += inside
        found.append(Row(window.row, words.to(window.row.device)))
    return found


def _maskable(windows: list[Window], tokens: list[dict[str, Any]]) -> list[list[int]]:
    """The positions of each window that a preset may select."""
    return [
        [i for i in range(one.first, one.first + len(one.row)) if not tokens[i]["special"]]
        for one in windows
    ]


def _hidden(
    masked: Iterable[int] | None, windows: list[Window], tokenizer: PreTrainedTokenizerBase
) -> set[int]:
    """The positions to hide, each of them a token of the text."""
    last = windows[-1].first + len(windows[-1].row) - 1
    frame = {window.first: tokenizer.cls_token for window in windows}
    frame |= {window.first + len(window.row) - 1: tokenizer.sep_token for window in windows}
    positions = set()
    for position in masked or ():
        if isinstance(position, bool) or not isinstance(position, int):
            raise InputError(f"masked: {position!r} is not a position, a whole number")
        if not 0 <= position <= last:
            raise InputError(
                f"masked: there is no position {position}; this text has 1 to {last - 1}",
                "positions count tokens, not characters; position 0 is the start token",
            )
        if position in frame:
            raise InputError(
                f"masked: position {position} is {frame[position]}, which frames the text",
                f"name positions of the text itself, from 1 to {last - 1}",
            )
        positions.add(position)
    return positions


def _tokens(
    model: SparseMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    window: Window,
    number: int,
    hidden: set[int],
    top: int,
) -> Iterator[dict[str, Any]]:
    """The entries of one window's tokens."""
    row, length = window.row, len(window.row)
    hides = torch.tensor([window.first + i in hidden for i in range(length)], device=row.device)
    inputs = row.masked_fill(hides, int(tokenizer.mask_token_id))
    asked = torch.arange(1, length - 1, device=row.device)
    weight, bias = model.projection()
    states = model.states(inputs[None])[asked]
    visible = token_entropy(states, weight, bias)
    masked_states = _hidden_states(model, inputs, asked, int(tokenizer.mask_token_id))
    masked = token_entropy(masked_states, weight, bias)
    surprisal = -token_log_probability(masked_states, weight, bias, row[asked])
    numbers = torch.stack([visible.double(), masked.double(), surprisal.double()], 1)
    if not bool(torch.isfinite(numbers).all()):
        raise InputError(
            "the model gives predictions that are not finite",
            "its weights are damaged, or it overflows in half precision",
        )
    values = numbers.tolist()
    best = _predictions(states, weight, bias, tokenizer, top)
    best_masked = _predictions(masked_states, weight, bias, tokenizer, top)
    special = set(frame_ids(tokenizer))
    for place, token_id in enumerate(row.tolist()):
        inside = 0 < place < length - 1
        entropies = values[place - 1] if inside else [None] * 3
        yield {
            "position": window.first + place,
            "window": number,
            "id": token_id,
            "token": tokenizer.convert_ids_to_tokens(token_id),
            "start": window.offsets[place][0],
            "end": window.offsets[place][1],
            "special": token_id in special,
            "masked": window.first + place in hidden,
            **dict(zip(("entropy", "entropy_masked", "surprisal"), entropies, strict=True)),
            "top": best[place - 1] if inside else [],
            "top_masked": best_masked[place - 1] if inside else [],
        }


def _hidden_states(model: SparseMaskedLM, inputs: Tensor, asked: Tensor, mask_id: int) -> Tensor:
    """Head states [n, e] at the positions asked [n], each in a copy where it alone is hidden too.

    inputs: [T] token ids.
    """
    at_once = max(1, _PASS_TOKENS.get(inputs.device.type, 1 << 13) // len(inputs))
    states = []
    for part in torch.split(asked, at_once):
        where = torch.arange(len(inputs), device=inputs.device) == part[:, None]
        copies = inputs.expand(where.shape).masked_fill(where, mask_id)
        states.append(model.states(copies, where=where))
    return torch.cat(states)


def _predictions(
    states: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    tokenizer: PreTrainedTokenizerBase,
    top: int,
) -> list[list[dict[str, Any]]]:
    """The `top` likeliest tokens for each of the states [n, e], most likely first."""
    found: list[list[dict[str, Any]]] = []
    for part in torch.split(states, max(1, _LOGITS // len(weight))):
        probabilities = F.linear(part, weight, bias).float().softmax(1)
        best = probabilities.topk(min(top, len(weight)), dim=1)
        for ids, shares in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            # A model may predict more types than its tokenizer has: rows filled up for speed.
            names = [tokenizer.convert_ids_to_tokens(i) or f"[{i}]" for i in ids]
            pairs = zip(ids, names, shares, strict=True)
            found.append([{"id": i, "token": t, "probability": p} for i, t, p in pairs])
    return found


def _replaced(count: int) -> list[str]:
    if not count:
        return []
    if count == 1:
        return ["1 character of the text is half of a surrogate pair and was read as U+FFFD"]
    return [
        f"{count:,} characters of the text are halves of surrogate pairs and were read as U+FFFD"
    ]


def _warnings(windows: list[Window], tokens: list[dict[str, Any]]) -> list[str]:
    warnings = []
    if len(windows) > 1:
        count = sum(len(window.row) - 2 for window in windows)
        longest = max(len(window.row) for window in windows) - 2
        warnings.append(
            f"the text has {count:,} tokens, more than one row holds: it is read in "
            f"{len(windows)} windows of at most {longest}, and the model sees nothing beyond a "
            "window's ends"
        )
    unknown = sum(token["special"] and token["end"] > token["start"] for token in tokens)
    if unknown:
        warnings.append(
            f"{unknown} of the tokens stand{'s' if unknown == 1 else ''} for text that is not in "
            "the vocabulary; the unknown token is never masked"
        )
    return warnings

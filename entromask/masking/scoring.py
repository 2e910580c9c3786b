"""Entropy or surprisal of a model at the positions of rows, in both views, and their store."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.masking.levels import scale_of
from entromask.masking.noise import uniform
from entromask.masking.store import ScoreStore
from entromask.modeling.entropy import token_entropy, token_log_probability
from entromask.modeling.masked_lm import SparseMaskedLM, weights_fingerprint
from entromask.settings import settings
from entromask.text.encoding import frame_ids

GROUPS = 7  # with 1/7 = 14 % of a row hidden at a time, the model sees what it was trained on
View = Literal["visible", "masked"]
Score = Literal["entropy", "surprisal"]

# Groups are the same for every run: the scores belong to teacher and corpus, not to a seed.
_GROUP_SEED = 0x67726F757073
# Tokens between two commits of a store: a kill loses a few seconds of work at most.
_COMMIT_TOKENS = 1 << 18
# Rows of one forward pass are chosen so that they hold about this many tokens.
_PASS_TOKENS = {"cpu": 1 << 13, "cuda": 1 << 16}

Progress = Callable[[int, int], None]


class Rows(Protocol):
    """What scores are computed for: the packed corpus, or anything with its two attributes."""

    @property
    def train(self) -> NDArray[np.unsignedinteger]: ...

    @property
    def fingerprint(self) -> str: ...


def visible_scores(
    model: SparseMaskedLM,
    input_ids: Tensor,
    *,
    score: Score = "entropy",
    where: Tensor | None = None,
    attention_mask: Tensor | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """The score of each position when the model sees every token: one pass over the rows.

    The model runs without dropout and is left in the mode it was in.

    Args:
        input_ids: [B, T], on any device.
        score: see `position_scores`.
        where: [B, T] bool, the positions to score; the others get 0. None: all.
        attention_mask: [B, T], 0 at padding, which is not attended; None: there is none.
        batch_size: rows of one forward pass; None: all.

    Returns:
        [B, T] nats, float32, on the device of input_ids.
    """
    device = next(model.parameters()).device
    scores = torch.zeros(input_ids.shape, dtype=torch.float32, device=device)
    with evaluating(model):
        for part in _parts(len(input_ids), batch_size):
            rows = input_ids[part].to(device)
            here = torch.ones_like(rows, dtype=torch.bool)
            if where is not None:
                here = where[part].to(device)
            attended = None if attention_mask is None else attention_mask[part].to(device)
            states = model.states(rows, attended, where=here)
            found = position_scores(model, states, rows[here], score)
            scores[part] = scores[part].masked_scatter(here, found)
    return scores.to(input_ids.device)


def masked_scores(
    model: SparseMaskedLM,
    mask_id: int,
    special_ids: list[int],
    input_ids: Tensor,
    row_ids: Tensor,
    *,
    score: Score = "entropy",
    attention_mask: Tensor | None = None,
    batch_size: int | None = None,
) -> Tensor:
    """The score of each position when the model does not see its token.

    The positions of a row fall into 7 random groups (`hidden_groups`); each pass hides one group
    behind the mask token and scores it, so that each position is scored exactly once. The model
    runs without dropout and is left in the mode it was in.

    Args:
        mask_id: id of the mask token.
        special_ids: token ids that are never hidden; their positions get 0.
        input_ids: [B, T], on any device.
        row_ids: [B] int64, the rows' numbers in the corpus; they decide the groups.
        score: see `position_scores`.
        attention_mask: [B, T], 0 at padding, which is neither attended nor hidden and gets 0;
            None: there is none.
        batch_size: rows of one forward pass; None: all.

    Returns:
        [B, T] nats, float32, on the device of input_ids.
    """
    device = next(model.parameters()).device
    scores = torch.zeros(input_ids.shape, dtype=torch.float32, device=device)
    special = torch.tensor(special_ids, device=device)
    with evaluating(model):
        for part in _parts(len(input_ids), batch_size):
            rows = input_ids[part].to(device)
            hideable, attended = ~torch.isin(rows, special), None
            if attention_mask is not None:
                attended = attention_mask[part].to(device)
                hideable &= attended.bool()
            groups = hidden_groups(hideable, row_ids[part].to(device))
            for group in range(GROUPS):
                here = groups == group
                if bool(here.any()):
                    states = model.states(rows.masked_fill(here, mask_id), attended, where=here)
                    found = position_scores(model, states, rows[here], score)
                    scores[part] = scores[part].masked_scatter(here, found)
    return scores.to(input_ids.device)


def position_scores(model: SparseMaskedLM, states: Tensor, tokens: Tensor, score: Score) -> Tensor:
    """The scores of N positions, without gradients.

    Args:
        states: [N, e], of `SparseMaskedLM.states`.
        tokens: [N] int64, the tokens that stand there.
        score: `entropy` of the prediction, or `surprisal`, -ln p(token).

    Returns:
        [N] nats, float32.
    """
    if score == "entropy":
        return token_entropy(states, *model.projection()).float()
    return -token_log_probability(states, *model.projection(), tokens).float()


def highest_score(model: SparseMaskedLM, score: Score) -> float:
    """What a store's scale ends at, in nats: ln V for an entropy, 2 ln V for a surprisal."""
    return math.log(len(model.projection()[0])) * (1 if score == "entropy" else 2)


def hidden_groups(maskable: Tensor, row_ids: Tensor) -> Tensor:
    """The group, 0 to 6, of each maskable position, and -1 elsewhere; [B, T] int64.

    The maskable positions of a row are dealt out in random order, so that the sizes of its groups
    differ by at most one. The order is a hash of the row's number and nothing else.
    """
    noise = uniform(_GROUP_SEED, "groups", 0, row_ids, maskable.shape[1])
    order = noise.masked_fill(~maskable, 2.0).argsort(1)
    place = torch.arange(maskable.shape[1], device=maskable.device).expand(maskable.shape)
    rank = torch.empty_like(order).scatter_(1, order, place)
    return (rank % GROUPS).masked_fill(~maskable, -1)


def score_corpus(
    model: SparseMaskedLM,
    rows: NDArray[np.unsignedinteger],
    tokenizer: PreTrainedTokenizerBase,
    view: View,
    store: ScoreStore,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    on_progress: Progress | None = None,
    score: Score = "entropy",
) -> None:
    """Fills `store` with the scores of all rows, from where it stands.

    Two processes that start together fill it once: the second waits, and finds it complete.

    Args:
        model: the teacher; moved to `device`.
        rows: [N, T] token ids.
        tokenizer: tells the mask token and the special tokens, whose positions get 0.
        view: see `visible_scores` and `masked_scores`.
        batch_size: rows of one forward pass; None: as many as the device likes.
        on_progress: called with (rows done, rows in all) after each commit.

    Raises:
        DiskFullError: there is no room for the store.
        InputError: the teacher's scores are not finite.
    """
    device = torch.device(device)
    model.to(device)
    length = rows.shape[1]
    at_once = batch_size or max(1, _PASS_TOKENS.get(device.type, 1 << 13) // length)
    # Commits end where batches end, so that a resumed store sees the very same batches.
    commit = at_once * max(1, _COMMIT_TOKENS // (at_once * length))
    special_ids = frame_ids(tokenizer)
    mask_id = int(tokenizer.mask_token_id)
    with store.filling():
        while not store.complete:
            started = time.perf_counter()
            chunk = np.arange(store.filled, min(store.filled + commit, len(rows)))
            tokens = torch.from_numpy(rows[chunk[0] : chunk[-1] + 1].astype(np.int64)).to(device)
            row_ids = torch.from_numpy(chunk).to(device)
            special = torch.isin(tokens, torch.tensor(special_ids, device=device))
            if view == "visible":
                scores = visible_scores(
                    model, tokens, score=score, where=~special, batch_size=at_once
                )
            else:
                scores = masked_scores(
                    model,
                    mask_id,
                    special_ids,
                    tokens,
                    row_ids,
                    score=score,
                    batch_size=at_once,
                )
            flops = _flops(model, tokens.numel(), int((~special).sum()), length, view)
            store.append(scores, seconds=time.perf_counter() - started, flops=flops)
            if on_progress is not None:
                on_progress(store.filled, len(rows))


def open_teacher_scores(
    teacher: SparseMaskedLM,
    corpus: Rows,
    tokenizer: PreTrainedTokenizerBase,
    view: str,
    device: torch.device | str = "cpu",
    on_progress: Progress | None = None,
    score: Score = "entropy",
) -> tuple[ScoreStore, dict[str, float]]:
    """The complete store of a teacher's scores on a packed corpus; computed if need be.

    The store lies in the cache under a fingerprint of the teacher's weights, the corpus, the view
    and the score. The costs are those of the whole store, whether or not this call has paid for
    them.

    Returns:
        The store, and {"seconds", "flops"} that filling it took.

    Raises:
        InputError: an unknown view, or scores that are not finite.
        DiskFullError: there is no room for the store.
    """
    if view not in ("visible", "masked"):
        raise InputError(
            f"masking.view '{view}' is unknown; allowed: visible, masked",
            "masked asks the teacher about tokens that it does not see",
        )
    identity: dict[str, str | int] = {
        "teacher": weights_fingerprint(teacher),
        "corpus": corpus.fingerprint,
        "view": view,
        "groups": GROUPS if view == "masked" else 0,
    }
    if score != "entropy":
        identity["score"] = score
    rows, length = corpus.train.shape
    highest = highest_score(teacher, score)
    store = ScoreStore.under(
        settings().cache / "scores", identity, rows, length, highest, scale_of(score)
    )
    if not store.complete:
        checked: View = "visible" if view == "visible" else "masked"
        score_corpus(
            teacher,
            corpus.train,
            tokenizer,
            checked,
            store,
            device,
            on_progress=on_progress,
            score=score,
        )
    return store, {"seconds": 0.0, "flops": 0.0} | store.facts


def score_levels(
    store: ScoreStore, rows: NDArray[np.unsignedinteger], tokenizer: PreTrainedTokenizerBase
) -> int:
    """How many of the store's 256 levels hold 90 % of the scores, the fullest levels first.

    One or two: a teacher that finds every position as uncertain as any other, so that chance
    decides between them. Special tokens, which are not scored, do not count. rows: [N, T] ids.
    """
    special_ids = np.array(frame_ids(tokenizer))
    counts = np.zeros(256, np.int64)
    at_once = max(1, _COMMIT_TOKENS // store.length)
    for start in range(0, store.rows, at_once):
        part = slice(start, start + at_once)
        scored = np.isin(rows[part], special_ids, invert=True)
        counts += np.bincount(store.levels[part][scored], minlength=256)
    held = np.sort(counts)[::-1].cumsum()
    return 1 + int(np.searchsorted(held, 0.9 * held[-1]))


def _parts(rows: int, batch_size: int | None) -> Iterator[slice]:
    step = batch_size or max(1, rows)
    return (slice(start, start + step) for start in range(0, rows, step))


@contextmanager
def evaluating(model: SparseMaskedLM) -> Iterator[None]:
    """Without dropout and without gradients; afterwards every module in the mode it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, training in modes:
            module.training = training


def _flops(model: SparseMaskedLM, tokens: int, scored: int, length: int, view: View) -> float:
    from entromask.training.cost import Cost

    passes = GROUPS if view == "masked" else 1
    return Cost.of(model, length).forward(passes * tokens, scored)

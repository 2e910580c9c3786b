"""What masking presets select in the rows of a preview, how likely, and how far they agree."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.analysis.preview_scores import PreviewScores
from entromask.errors import InputError
from entromask.masking import Masker
from entromask.masking.rates import rate_at
from entromask.presets import MASKING_PRESETS
from entromask.spec import Masking

# With 1,000 draws an estimated probability has a standard error of at most 0.016.
DRAWS = 1000


@dataclass(frozen=True)
class Row:
    """A row of a preview: ids [T] int64 and words [T] bool, True where a word begins.

    `words` is None where no masking asks for words.
    """

    ids: Tensor
    words: Tensor | None = None


def resolved_presets(names: Sequence[str], rate: float | None) -> dict[str, Masking]:
    """Each preset's masking, once.

    Raises:
        InputError: an unknown preset, or a rate that is not between 0 and 1.
    """
    if isinstance(names, str):
        names = [names]
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    if rate is not None and not (number and 0 < rate < 1):
        raise InputError(
            f"rate: must be greater than 0 and less than 1, not {rate!r}", "15 % is 0.15"
        )
    maskings: dict[str, Masking] = {}
    for name in names:
        if name not in MASKING_PRESETS:
            close = difflib.get_close_matches(str(name), MASKING_PRESETS, n=1)
            raise InputError(
                f"presets: there is no masking preset '{name}'"
                + (f" (did you mean '{close[0]}'?)" if close else ""),
                "`entromask strategies` lists the presets",
            )
        given = {} if rate is None else {"rate": float(rate)}
        maskings[name] = Masking(preset=name, **given).resolved()
    return maskings


def preset_entries(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Row],
    maskings: Mapping[str, Masking],
    scores: PreviewScores,
    seed: int = 0,
    progress: float = 0.0,
) -> list[dict[str, Any]]:
    """One entry a preset, in the order given.

    Presets of a teacher, of the model itself and of its past all score with one model: as if it
    were each of these. The masked view hides a seventh of the tokens at a time, as in a run; the
    scores are the model's own of now, where a run with `refresh: cached` reads those of a
    position's last mask. Rates hold for each row. An entry has:

    - `preset`, `description`;
    - `rate` at this progress, `select`, `temperature` (of sampling by scores, else null), `unit`;
    - `positions`: what the masks of `seed` select, the very positions of `Masker` for row 0, 1, ...
      in epoch 0;
    - `probabilities`: for every position, how likely it is selected when the seed is not known;
    - `method`: `exact`, or `monte-carlo`, the share of DRAWS draws by the same code, with
      `standard_error`, the largest over the positions (else 0);
    - or `error` in place of all after the description: a sentence on why there are no masks.

    Args:
        rows: with words where the unit of a masking is word or span.
        maskings: by preset, resolved.
        scores: of the same rows.
        progress: share of the run that is done, from 0 to 1, for a rate with a schedule.
    """
    entries = []
    for name, masking in maskings.items():
        entry: dict[str, Any] = {"preset": name, "description": MASKING_PRESETS[name].description}
        lacking = scores.lacking(masking)
        if lacking is not None:
            entry["error"] = f"the preset '{name}' {lacking}"
        else:
            masker = Masker(masking, tokenizer, seed)
            entry |= _masks(masker, rows, scores.of(masking), progress)
        entries.append(entry)
    return entries


def agreement(
    entries: Sequence[Mapping[str, Any]], maskable: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Compare the mask probabilities of each pair of presets.

    With p and q the probabilities of two presets over all positions:

    - `overlap`: 2 sum(min(p, q)) / (sum(p) + sum(q)), from 0 to 1. At equal rates it is the share
      of one mask that the other can have in common with it on average, drawn as alike as the
      probabilities allow: 1 where p = q, 0 where no position can be in both. Where one of the two
      leaves nothing to chance, it is the expected overlap of two masks.
    - `chance`: the same, if q said nothing about where p is high: its expectation when the values
      of q are shuffled over the maskable positions of each row. Two masks without chance have k /
      n of a row's n positions in common by chance, two uniform ones all.

    Both are null where no position can be masked.

    Args:
        entries: of `preset_entries`; those with an error are left out.
        maskable: the positions of each row that may be masked.
    """
    able = [entry for entry in entries if "error" not in entry]
    rows = [
        [np.array([entry["probabilities"][i] for i in positions]) for positions in maskable]
        for entry in able
    ]
    pairs = [[_overlap(one, other) for other in rows] for one in rows]
    return {
        "presets": [entry["preset"] for entry in able],
        "overlap": [[overlap for overlap, _ in line] for line in pairs],
        "chance": [[chance for _, chance in line] for line in pairs],
    }


def _overlap(
    one: Sequence[NDArray[np.float64]], other: Sequence[NDArray[np.float64]]
) -> tuple[float | None, float | None]:
    """`overlap` and `chance` of two presets, by their probabilities in each row."""
    total = sum(float(p.sum() + q.sum()) for p, q in zip(one, other, strict=True))
    if total == 0.0:
        return None, None
    shared = sum(float(np.minimum(p, q).sum()) for p, q in zip(one, other, strict=True))
    chance = sum(_shuffled(p, q) for p, q in zip(one, other, strict=True))
    return 2 * shared / total, 2 * chance / total


def _shuffled(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """The expectation of sum(min(p, q)) over all orders of q: sum over all pairs / n."""
    if not len(q):
        return 0.0
    ordered = np.sort(q)
    below = np.searchsorted(ordered, p)
    sums = np.concatenate([[0.0], ordered.cumsum()])
    return float((sums[below] + (len(q) - below) * p).sum() / len(q))


def _masks(
    masker: Masker, rows: Sequence[Row], scores: Sequence[Tensor | None], progress: float
) -> dict[str, Any]:
    masking = masker.masking
    assert masking.rate is not None, "resolved"
    sampled = masking.select == "sample" and masking.score != "uniform"
    positions: list[int] = []
    probabilities: list[float] = []
    exact = True
    for number, (row, score) in enumerate(zip(rows, scores, strict=True)):
        selected = _selected(masker, row, score, torch.tensor([number]), 0, progress)[0]
        positions += [len(probabilities) + i for i in selected.nonzero().flatten().tolist()]
        maskable = masker.maskable(row.ids[None])[0]
        if _certain(masking, score, maskable):
            probabilities += selected.double().tolist()
        elif score is None and masking.unit == "token":  # k of n
            share = float(selected.sum()) / max(1, int(maskable.sum()))
            probabilities += (maskable.double() * share).tolist()
        else:
            exact = False
            probabilities += _drawn(masker, row, score, number, progress).tolist()
    return {
        "rate": rate_at(masking.rate, progress),
        "select": masking.select,
        "temperature": masking.temperature if sampled else None,
        "unit": masking.unit,
        "positions": positions,
        "probabilities": probabilities,
        "method": "exact" if exact else "monte-carlo",
        "standard_error": 0.0
        if exact
        else max((p * (1 - p) / DRAWS) ** 0.5 for p in probabilities),
    }


def _certain(masking: Masking, score: Tensor | None, maskable: Tensor) -> bool:
    """Whether nothing is left to chance: ranks of tokens are, unless scores are equal."""
    if score is None or masking.unit != "token" or masking.select == "sample" or masking.explore:
        return False
    values = score[0][maskable].tolist()
    return len(set(values)) == len(values)


def _drawn(masker: Masker, row: Row, score: Tensor | None, number: int, progress: float) -> Tensor:
    """[T] the share of DRAWS draws that select each position; they add up to k exactly."""
    # Another epoch than the one that is shown, and rows of their own for each window.
    numbers = torch.arange(number * DRAWS, (number + 1) * DRAWS)
    return _selected(masker, row, score, numbers, 1, progress).double().mean(0)


def _selected(
    masker: Masker, row: Row, score: Tensor | None, numbers: Tensor, epoch: int, progress: float
) -> Tensor:
    """[n, T] bool: what is selected in a row where it stands at the row numbers [n]."""
    count = len(numbers)
    return masker.positions(
        row.ids.expand(count, -1),
        numbers.to(row.ids.device),
        epoch,
        None if score is None else score.expand(count, -1),
        words=None if row.words is None else row.words.expand(count, -1),
        progress=progress,
    )

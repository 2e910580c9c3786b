"""What masking presets select in the rows of a preview, how likely, and how far they agree."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.masking import Masker
from entromask.masking.frequency import FrequencyScore
from entromask.masking.scoring import masked_entropy, visible_entropy
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.presets import MASKING_PRESETS
from entromask.spec import Masking

# With 1,000 draws an estimated probability has a standard error of at most 0.016.
DRAWS = 1000
_COUNTS_MISSING = (
    "needs how often each token occurs in a corpus, which this model does not bring: "
    "preview a run whose packed corpus is still in the cache of this machine"
)


def resolved_presets(names: Sequence[str], rate: float | None) -> dict[str, Masking | None]:
    """Each preset's masking, once; None for one that is not available yet.

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
    maskings: dict[str, Masking | None] = {}
    for name in names:
        if name not in MASKING_PRESETS:
            close = difflib.get_close_matches(str(name), MASKING_PRESETS, n=1)
            raise InputError(
                f"presets: there is no masking preset '{name}'"
                + (f" (did you mean '{close[0]}'?)" if close else ""),
                "`entromask strategies` lists the presets",
            )
        given = {} if rate is None else {"rate": float(rate)}
        available = MASKING_PRESETS[name].available
        maskings[name] = Masking(preset=name, **given).resolved() if available else None
    return maskings


def preset_entries(
    model: SparseMaskedLM,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Tensor],
    maskings: Mapping[str, Masking | None],
    seed: int,
    counts: FrequencyScore | None,
) -> list[dict[str, Any]]:
    """One entry a preset, in the order given.

    `teacher-*` and `self-*` presets both score with this model: as if it were the teacher, or the
    model in training. The masked view hides a seventh of the tokens at a time, as in a run.
    Rates hold for each row. An entry has:

    - `preset`, `description`;
    - `rate`, `select`, `temperature` (of sampling, else null);
    - `positions`: what the masks of `seed` select, the very positions of `Masker` for row 0, 1, ...
      in epoch 0;
    - `probabilities`: for every position, how likely it is selected when the seed is not known;
    - `method`: `exact`, or `monte-carlo`, the share of DRAWS draws by the same code, with
      `standard_error`, the largest over the positions (else 0);
    - or `error` in place of all after the description: a sentence on why there are no masks.

    Args:
        rows: each [T] token ids, on the model's device.
        maskings: by preset, resolved; None: not available yet.
        counts: scores of token types, which frequency needs; None: not known.
    """
    scores = _Scores(model, tokenizer, rows, counts)
    entries = []
    for name, masking in maskings.items():
        entry: dict[str, Any] = {"preset": name, "description": MASKING_PRESETS[name].description}
        if masking is None:
            entry["error"] = f"the preset '{name}' is not available yet"
        elif masking.score == "frequency" and counts is None:
            entry["error"] = f"the preset '{name}' {_COUNTS_MISSING}"
        else:
            entry |= _masks(Masker(masking, tokenizer, seed), rows, scores.of(masking))
        entries.append(entry)
    return entries


def agreement(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Jaccard index of the positions of each pair of presets; 1.0 where both select nothing."""
    able = [entry for entry in entries if "error" not in entry]
    chosen = [set(entry["positions"]) for entry in able]
    return {
        "presets": [entry["preset"] for entry in able],
        "jaccard": [[len(a & b) / len(a | b) if a | b else 1.0 for b in chosen] for a in chosen],
    }


class _Scores:
    """The scores [1, T] of every row, computed once for all presets that share them."""

    def __init__(
        self,
        model: SparseMaskedLM,
        tokenizer: PreTrainedTokenizerBase,
        rows: list[Tensor],
        counts: FrequencyScore | None,
    ) -> None:
        special = sorted(set(tokenizer.all_special_ids))
        mask_id = int(tokenizer.mask_token_id)
        self._rows = rows
        self._known: dict[str, list[Tensor | None]] = {}

        def visible(row: Tensor, number: Tensor) -> Tensor:
            where = ~torch.isin(row, torch.tensor(special, device=row.device))
            return visible_entropy(model, row, where=where)

        def masked(row: Tensor, number: Tensor) -> Tensor:
            return masked_entropy(model, mask_id, special, row, number)

        def frequency(row: Tensor, number: Tensor) -> Tensor:
            assert counts is not None
            return counts(row)

        self._kinds: dict[str, Callable[[Tensor, Tensor], Tensor | None]] = {
            "uniform": lambda row, number: None,
            "frequency": frequency,
            "entropy visible": visible,
            "entropy masked": masked,
        }

    def of(self, masking: Masking) -> list[Tensor | None]:
        kind = f"{masking.score} {masking.view}" if masking.view else str(masking.score)
        if kind not in self._known:
            self._known[kind] = [
                self._kinds[kind](row[None], torch.tensor([number], device=row.device))
                for number, row in enumerate(self._rows)
            ]
        return self._known[kind]


def _masks(masker: Masker, rows: list[Tensor], scores: list[Tensor | None]) -> dict[str, Any]:
    masking = masker.masking
    positions: list[int] = []
    probabilities: list[float] = []
    exact = True
    for number, (row, score) in enumerate(zip(rows, scores, strict=True)):
        number_of_row = torch.tensor([number], device=row.device)
        selected = masker.positions(row[None], number_of_row, 0, score)[0]
        positions += [len(probabilities) + i for i in selected.nonzero().flatten().tolist()]
        maskable = masker.maskable(row[None])[0]
        if score is None:  # uniform: k of n
            share = float(selected.sum()) / max(1, int(maskable.sum()))
            probabilities += (maskable.double() * share).tolist()
        elif _certain(masking, score[0][maskable]):
            probabilities += selected.double().tolist()
        else:
            exact = False
            probabilities += _drawn(masker, row, score, number).tolist()
    return {
        "rate": masking.rate,
        "select": masking.select,
        "temperature": masking.temperature if masking.select == "sample" else None,
        "positions": positions,
        "probabilities": probabilities,
        "method": "exact" if exact else "monte-carlo",
        "standard_error": 0.0
        if exact
        else max((p * (1 - p) / DRAWS) ** 0.5 for p in probabilities),
    }


def _certain(masking: Masking, scores: Tensor) -> bool:
    """Whether nothing is left to chance: ranks are, unless scores are equal."""
    ranked = masking.select != "sample" and not masking.explore
    return ranked and len(set(scores.tolist())) == len(scores)


def _drawn(masker: Masker, row: Tensor, scores: Tensor, number: int) -> Tensor:
    """[T] the share of DRAWS draws that select each position; they add up to k exactly."""
    # Another epoch than the one that is shown, and rows of their own for each window.
    ids = torch.arange(number * DRAWS, (number + 1) * DRAWS, device=row.device)
    many = row.expand(DRAWS, -1)
    return masker.positions(many, ids, 1, scores.expand(DRAWS, -1)).double().mean(0)

"""What a strategy's masks look like over a run: repeats, coverage, concentration."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entromask.training.validation import frequent_types

# Repeats and coverage follow the first rows of the corpus, which the shuffled order spreads
# over every epoch; so memory stays flat for a corpus of any size.
_TRACKED_ROWS = 4096
_SHARES = ("distinct_type_share", "frequent_type_share", "effective_type_ratio")


class MaskDiagnostics:
    """Follows the masks of a run; its state travels with the checkpoints.

    Counts start where the strategy starts: the uniform masks of a warm-up do not count.
    """

    def __init__(self, rows: int, length: int, counts: NDArray[np.int64]) -> None:
        tracked, types = min(rows, _TRACKED_ROWS), len(counts)
        self._frequent = torch.from_numpy(frequent_types(counts))
        self._effective_of_corpus = max(1.0, _effective(torch.from_numpy(counts)))
        self._state: dict[str, Tensor] = {
            "last_mask": torch.zeros(tracked, length, dtype=torch.bool),
            "ever_masked": torch.zeros(tracked, length, dtype=torch.bool),
            "last_epoch": torch.full((tracked,), -1, dtype=torch.int64),
            "maskable": torch.zeros(tracked, length, dtype=torch.bool),
            "repeats": torch.zeros(2, dtype=torch.int64),
            "window_repeats": torch.zeros(2, dtype=torch.int64),
            "ties": torch.zeros(2, dtype=torch.int64),
            "masked_types": torch.zeros(types, dtype=torch.int64),
            "window_types": torch.zeros(types, dtype=torch.int64),
            "seen_types": torch.zeros(types, dtype=torch.bool),
            "window_seen": torch.zeros(types, dtype=torch.bool),
        }

    def state(self) -> dict[str, Tensor]:
        return self._state

    def load_state(self, state: dict[str, Tensor]) -> None:
        # What a checkpoint of an earlier version did not count starts at zero.
        self._state = {
            name: state[name].clone() if name in state else torch.zeros_like(own)
            for name, own in self._state.items()
        }

    def update(
        self, rows: Tensor, row_ids: Tensor, epoch: int, labels: Tensor, maskable: Tensor
    ) -> None:
        """Counts one batch: rows, labels, maskable [B, T] and row_ids [B], on the CPU."""
        state = self._state
        masked = labels >= 0
        types = torch.bincount(rows[masked], minlength=len(self._frequent))
        state["masked_types"] += types
        state["window_types"] += types
        seen = rows[maskable]
        state["seen_types"][seen] = True
        state["window_seen"][seen] = True
        here = row_ids < len(state["last_epoch"])
        if not here.any():
            return
        ids, masked, maskable = row_ids[here], masked[here], maskable[here]
        again = (state["last_epoch"][ids] == epoch - 1) & (state["last_epoch"][ids] >= 0)
        before = state["last_mask"][ids[again]]
        counted = torch.stack([(before & masked[again]).sum(), before.sum()])
        state["repeats"] += counted
        state["window_repeats"] += counted
        state["last_mask"][ids] = masked
        state["ever_masked"][ids] |= masked
        state["maskable"][ids] = maskable
        state["last_epoch"][ids] = epoch

    def count_ties(self, decided: int, selected: int) -> None:
        """Counts the positions of a batch that ties decided, and all that ranks selected."""
        self._state["ties"] += torch.tensor([decided, selected])

    def window(self) -> dict[str, float]:
        """The masks since the last call, for the curves: shares between 0 and 1.

        Returns:
            `distinct_type_share`, `frequent_type_share`, `effective_type_ratio` and
            `mask_repeat_rate`, as in `report`; the last is absent while no row has come again,
            and all are where nothing was masked: a strategy may have been off until now.
        """
        types, seen, repeats = (
            self._state[f"window_{name}"] for name in ("types", "seen", "repeats")
        )
        shares = self._shares(types, seen) if types.any() else {}
        again, before = (int(count) for count in repeats)
        if before:
            shares["mask_repeat_rate"] = again / before
        for counted in (types, seen, repeats):
            counted.zero_()
        return shares

    def _shares(self, types: Tensor, seen: Tensor) -> dict[str, float]:
        """Of at least one masked position."""
        return {
            "distinct_type_share": int((types > 0).sum()) / int(seen.sum()),
            "frequent_type_share": int(types[self._frequent].sum()) / int(types.sum()),
            "effective_type_ratio": _effective(types) / self._effective_of_corpus,
        }

    def report(self, tokens: list[str]) -> dict[str, Any]:
        """The mask part of `diagnostics` in results.json.

        Args:
            tokens: [V], the text of each type.

        Returns:
            `mask_repeat_rate`: share of an epoch's masked positions that the next epoch masks
            again (None when no row was seen in two epochs in a row); `position_coverage`:
            share of the maskable positions of the visited rows that were ever masked;
            `distinct_type_share`: types masked at least once / types met;
            `frequent_type_share`: share of the masks that fell on the 100 most frequent types;
            `effective_type_ratio`: exp of the entropy of the masked types over that of the
            corpus, about 1 for random masks, and near 0 when a few types are all that is masked;
            `tied_share`: of a hard selection (top, bottom, middle, ends), the share that the
            random order of equal scores decided (None for another selection);
            `top_masked_types`: the ten most masked types with their share of the masks.
        """
        state = self._state
        again, before = (int(count) for count in state["repeats"])
        decided, ranked = (int(count) for count in state["ties"])
        maskable = int(state["maskable"].sum())
        types = state["masked_types"]
        total = int(types.sum())
        top = torch.argsort(types, descending=True, stable=True)[:10].tolist()
        return {
            "mask_repeat_rate": again / before if before else None,
            "position_coverage": int(state["ever_masked"].sum()) / maskable if maskable else None,
            **(
                self._shares(types, state["seen_types"])
                if total
                else dict.fromkeys(_SHARES)  # the strategy never began
            ),
            "tied_share": decided / ranked if ranked else None,
            "top_masked_types": {
                tokens[type_]: int(types[type_]) / total for type_ in top if types[type_]
            },
        }


def _effective(counts: Tensor) -> float:
    """exp of the entropy of the types: of so many equally frequent types it would be the same."""
    shares = counts[counts > 0].double()
    shares /= shares.sum()
    return float((-(shares * shares.log()).sum()).exp()) if len(shares) else 0.0

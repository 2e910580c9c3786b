"""A strategy of the user's own: a score that an installed package brings by an entry point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.errors import InputError
from entromask.parts.masking import ENTRY_POINTS, own_scores

# (rows [B, T] int64, row_ids [B] int64) -> scores [B, T], higher for what is to be predicted.
OwnScore = Callable[[Tensor, Tensor], Tensor]


def own_score(name: str, tokenizer: PreTrainedTokenizerBase, counts: NDArray[np.int64]) -> OwnScore:
    """The score that an installed package registers under `name`, ready for use.

    The entry point names a function of (tokenizer, counts [V]) that returns the score: a function
    of (rows [B, T], row_ids [B]) that returns floating-point scores [B, T].

    Raises:
        InputError: no package brings it, it cannot be imported, or it returns something else.
    """
    entry = own_scores().get(name)
    if entry is None:
        raise InputError(
            f"no installed package brings the score '{name}'",
            f"install it where this runs; its entry point belongs to the group {ENTRY_POINTS}",
        )
    try:
        score = entry.load()(tokenizer, counts)
    except Exception as error:  # a package may raise anything
        raise InputError(
            f"the score '{name}' ({entry.value}) cannot be made: {type(error).__name__}: {error}",
            "the entry point has to be a function of (tokenizer, counts)",
        ) from error

    def checked(rows: Tensor, row_ids: Tensor) -> Tensor:
        scores = score(rows, row_ids)
        if not isinstance(scores, Tensor) or scores.shape != rows.shape:
            shape = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise InputError(
                f"the score '{name}' ({entry.value}) returned {shape} for rows of shape "
                f"{tuple(rows.shape)}",
                "return one floating-point score for each position",
            )
        return scores.float()

    return checked

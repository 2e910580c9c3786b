"""The order of the rows: a permutation of its own for each epoch, a function of seed and step."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from entromask.errors import InputError


@dataclass(frozen=True)
class Batch:
    """Rows [b, T] int64 with their numbers [b] in the corpus, as they stand in `epoch`.

    `words` is [b, T] bool, True where a word begins, if the batches know it.
    """

    rows: Tensor
    row_ids: Tensor
    epoch: int
    words: Tensor | None = None


@dataclass
class Batches:
    """Batch `step` of a run, whenever and wherever it is asked for.

    Each process of a distributed run takes every `world`-th row of the batch, so that the
    batch is the same for any number of processes. The rows that do not fill the last batch of
    an epoch are left out of that epoch.

    Attributes:
        rows: [N, T] token ids.
        words: [N, T] bool, True where a word begins; None: the batches have none.
    """

    rows: NDArray[np.unsignedinteger]
    batch_size: int
    seed: int
    rank: int = 0
    world: int = 1
    words: NDArray[np.bool_] | None = None
    _order: tuple[int, NDArray[np.int64]] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.rows) < self.batch_size:
            raise InputError(
                f"the corpus gives {len(self.rows)} rows of {self.rows.shape[1]} tokens, fewer "
                f"than one batch of pretraining.batch_size {self.batch_size}",
                "use a smaller batch_size or sequence_length, or more text",
            )
        if self.batch_size < self.world:
            raise InputError(
                f"pretraining.batch_size {self.batch_size} is smaller than the number of "
                f"processes, {self.world}",
                "each process needs a row",
            )

    @property
    def per_epoch(self) -> int:
        return len(self.rows) // self.batch_size

    def __getitem__(self, step: int) -> Batch:
        epoch, place = divmod(step, self.per_epoch)
        if self._order is None or self._order[0] != epoch:
            generator = np.random.Generator(np.random.PCG64([self.seed, epoch]))
            self._order = epoch, generator.permutation(len(self.rows))
        batch = self._order[1][place * self.batch_size : (place + 1) * self.batch_size]
        ids = batch[self.rank :: self.world]
        rows = torch.from_numpy(self.rows[ids].astype(np.int64))
        words = None if self.words is None else torch.from_numpy(self.words[ids])
        return Batch(rows, torch.from_numpy(ids.copy()), epoch, words)

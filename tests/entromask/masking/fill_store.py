"""Fills a store, one commit at a time, and says so: run as a process of its own and killed.

Arguments: folder, rows, length, rows of one commit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from entromask.masking.noise import uniform
from entromask.masking.store import ScoreStore

HIGHEST = 9.0


def scores_of(row_ids: torch.Tensor, length: int) -> torch.Tensor:
    return (uniform(0, "scores", 0, row_ids, length) * HIGHEST).float()


def open_store(folder: Path, rows: int, length: int) -> ScoreStore:
    return ScoreStore(folder, {"teacher": "t", "corpus": "c"}, rows, length, HIGHEST)


def fill(folder: Path, rows: int, length: int, commit: int) -> None:
    store = open_store(folder, rows, length)
    print("start", flush=True)
    with store.filling():
        while not store.complete:
            here = torch.arange(store.filled, min(store.filled + commit, rows))
            store.append(scores_of(here, length), commits=1.0)
            print(f"filled {store.filled}", flush=True)
    print("complete", flush=True)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))

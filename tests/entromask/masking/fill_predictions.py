"""Fills a store of predictions, one commit at a time, and says so: run as a process and killed.

Arguments: folder, rows, length, rows of one commit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from entromask.masking.noise import uniform
from entromask.masking.prediction_store import PredictionStore

TOP_K, VOCABULARY = 3, 1000


def predictions_of(row_ids: Tensor, length: int) -> tuple[Tensor, Tensor]:
    noise = uniform(0, "predictions", 0, row_ids, length * TOP_K)
    noise = noise.view(len(row_ids), length, TOP_K)
    probabilities = noise.sort(-1, descending=True).values / (TOP_K + 1)
    return (noise * VOCABULARY).long(), probabilities.float()


def open_store(folder: Path, rows: int, length: int) -> PredictionStore:
    identity = {"teacher": "t", "corpus": "c"}
    return PredictionStore(folder, identity, rows, length, TOP_K, VOCABULARY)


def fill(folder: Path, rows: int, length: int, commit: int) -> None:
    store = open_store(folder, rows, length)
    with store.filling():
        while not store.complete:
            here = torch.arange(store.filled, min(store.filled + commit, rows))
            store.append(*predictions_of(here, length), commits=1.0)
            print(f"filled {store.filled}", flush=True)
    print("complete", flush=True)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))

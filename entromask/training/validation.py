"""The validation that all runs share: fixed random 15 % masks on held-out rows.

Losses on a strategy's own masks cannot be compared; these can.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.masking import Masker
from entromask.modeling.entropy import token_entropy
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import Masking

# One seed for every run: the masks depend on the rows alone.
_SEED = 15
FREQUENT_TYPES = 100
_BINS = 20
_CHUNK_ELEMENTS = 8 * 1024 * 1024


def frequent_types(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[V], True for the 100 most frequent types of the training rows."""
    frequent = np.zeros(len(counts), dtype=bool)
    frequent[np.argsort(-counts, kind="stable")[:FREQUENT_TYPES]] = True
    return frequent & (counts > 0)


class Measured(NamedTuple):
    """A look at a model on the common masks: means over positions, in nats.

    Attributes:
        entropy: None where it was not asked for.
        histogram: the share of the positions in each of 20 bins of entropy from 0 to `highest`.
    """

    loss: float
    entropy: float | None = None
    histogram: list[float] | None = None
    highest: float | None = None


class CommonValidation:
    """Scores a model on the common masks.

    Args:
        train, validation: packed rows [N, T]; training rows serve the bias refit alone.
        counts: [V] unigram counts of the training rows.
        tokenizer: of the rows.
        max_rows: rows used at the end of a run; a check on the way takes `quick_rows`.
    """

    def __init__(
        self,
        train: NDArray[np.unsignedinteger],
        validation: NDArray[np.unsignedinteger],
        counts: NDArray[np.int64],
        tokenizer: PreTrainedTokenizerBase,
        max_rows: int = 2048,
        quick_rows: int = 256,
        batch_rows: int = 64,
    ) -> None:
        masker = Masker(Masking(preset="random"), tokenizer, seed=_SEED)
        self._validation = _masked(validation[:max_rows], masker)
        # Spread over the corpus, since its start may be one document.
        spread = np.linspace(0, len(train) - 1, min(512, len(train))).astype(np.int64)
        self._refit = _masked(train[spread], masker)
        self._quick_rows = quick_rows
        self._batch_rows = batch_rows
        # Add-one smoothing, so that a type that only the validation rows hold has a loss.
        smoothed = (counts + 1) / (counts.sum() + len(counts))
        self._unigram = torch.from_numpy(np.log(smoothed)).float()
        self._frequent = torch.from_numpy(frequent_types(counts))
        targets = self._validation[1][self._validation[1] >= 0]
        self.unigram_loss = -float(self._unigram[targets].double().mean())

    def loss(self, model: SparseMaskedLM) -> float:
        """Mean common loss in nats on the quick rows."""
        return self.measure(model).loss

    def measure(self, model: SparseMaskedLM, entropy: bool = False) -> Measured:
        """The loss and, if asked for, the entropy of the predictions on the quick rows."""
        inputs, labels = (part[: self._quick_rows] for part in self._validation)
        states, targets = self._states(model, (inputs, labels))
        losses, _ = self._score(model, states, targets, None)
        loss = float(losses.double().mean())
        if not entropy:
            return Measured(loss)
        weight, bias = model.projection()
        entropies = token_entropy(states, weight, bias).double().cpu()
        # The bins are closed at both ends of the range, which rounding can leave by a little.
        highest = math.log(len(weight))
        bins = torch.histc(entropies.clamp(0, highest), _BINS, 0, highest)
        shares = [round(share, 5) for share in (bins / len(entropies)).tolist()]
        return Measured(loss, float(entropies.mean()), shares, highest)

    def report(self, model: SparseMaskedLM) -> dict[str, float]:
        """The `validation` part of results.json, all losses in nats."""
        states, targets = self._states(model, self._validation)
        losses, correct = self._score(model, states, targets, None)
        refit, _ = self._score(model, states, targets, self._refit_bias(model))
        targets = targets.cpu()
        frequent = self._frequent[targets]
        losses = losses.double()
        return {
            "loss": float(losses.mean()),
            "accuracy": float(correct.double().mean()),
            "loss_bias_refit": float(refit.double().mean()),
            "loss_frequent": float(losses[frequent].mean()) if frequent.any() else 0.0,
            "loss_rest": float(losses[~frequent].mean()) if (~frequent).any() else 0.0,
            "unigram_loss": self.unigram_loss,
            "positions": len(targets),
        }

    def _states(self, model: SparseMaskedLM, masked: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Head states [N, e] and targets [N] at the masked positions, on the model's device."""
        device = model.projection()[0].device
        training = model.training
        model.eval()
        states, targets = [], []
        with torch.inference_mode():
            for start in range(0, len(masked[0]), self._batch_rows):
                inputs = masked[0][start : start + self._batch_rows].to(device)
                labels = masked[1][start : start + self._batch_rows].to(device)
                states.append(model.states(inputs, where=labels >= 0).float())
                targets.append(labels[labels >= 0])
        model.train(training)
        return torch.cat(states), torch.cat(targets)

    def _score(
        self, model: SparseMaskedLM, states: Tensor, targets: Tensor, added_bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Loss [N] and whether the best guess is right [N], on the CPU."""
        losses, correct = [], []
        for logits, target in _logits(model, states, targets, added_bias):
            losses.append(torch.nn.functional.cross_entropy(logits, target, reduction="none"))
            correct.append(logits.argmax(dim=1) == target)
        return torch.cat(losses).cpu(), torch.cat(correct).cpu()

    def _refit_bias(self, model: SparseMaskedLM, rounds: int = 10) -> Tensor:
        """[V], to add to the output bias: the best one for random masks.

        At the best bias the mean prediction equals the types' frequencies under random masks,
        which are the corpus's own; each round moves every type by the log of their ratio.
        """
        states, targets = self._states(model, self._refit)
        # A model may predict more types than its tokenizer has: padding to a round number.
        wanted = torch.zeros(len(model.projection()[0]), device=states.device)
        wanted[: len(self._unigram)] = self._unigram.to(states.device).exp()
        added = torch.zeros_like(wanted)
        # A pseudo-count keeps types that the sample says nothing about where they are.
        prior = 1.0 / len(targets)
        for _ in range(rounds):
            predicted = torch.zeros_like(wanted)
            for logits, _ in _logits(model, states, targets, added):
                predicted += logits.softmax(dim=1).sum(dim=0)
            added += ((wanted + prior) / (predicted / len(targets) + prior)).log()
        return added


def _masked(rows: NDArray[np.unsignedinteger], masker: Masker) -> tuple[Tensor, Tensor]:
    tokens = torch.from_numpy(rows.astype(np.int64))
    inputs, labels = masker(tokens, torch.arange(len(tokens)), 0)
    return inputs, labels


def _logits(
    model: SparseMaskedLM, states: Tensor, targets: Tensor, added_bias: Tensor | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits [n, V] and targets [n], a bounded chunk at a time."""
    weight, bias = model.projection()
    weight = weight.detach().float()
    offset = torch.zeros_like(weight[:, 0]) if bias is None else bias.detach().float()
    if added_bias is not None:
        offset = offset + added_bias
    rows = max(1, _CHUNK_ELEMENTS // len(weight))
    for start in range(0, len(states), rows):
        logits = torch.addmm(offset, states[start : start + rows], weight.t())
        yield logits, targets[start : start + rows]

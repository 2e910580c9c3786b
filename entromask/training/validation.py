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
COMMON_SEED = 15
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
        masker = Masker(Masking(preset="random"), tokenizer, seed=COMMON_SEED)
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
        states, targets = self._states(model, self._validation, slice(0, self._quick_rows))
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
        added_bias = self._refit_bias(model)
        labels = self._validation[1]
        targets = labels[labels >= 0]
        losses, refit = torch.empty(2, len(targets)).unbind()
        correct = torch.empty(len(targets), dtype=torch.bool)
        end = 0
        for first in range(0, len(labels), self._quick_rows):
            rows = slice(first, first + self._quick_rows)
            states, block = self._states(model, self._validation, rows)
            positions = slice(end, end := end + len(block))
            losses[positions], correct[positions] = self._score(model, states, block, None)
            refit[positions], _ = self._score(model, states, block, added_bias)
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

    def _states(
        self, model: SparseMaskedLM, masked: tuple[Tensor, Tensor], rows: slice
    ) -> tuple[Tensor, Tensor]:
        """Head states [N, e] and targets [N] at the masked positions, on the model's device."""
        weight = model.projection()[0]
        inputs, labels = (part[rows] for part in masked)
        targets = labels[labels >= 0].to(weight.device)
        training = model.training
        model.eval()
        end = 0
        with torch.inference_mode():
            states = torch.empty(len(targets), weight.shape[1], device=weight.device)
            for start in range(0, len(inputs), self._batch_rows):
                x, y = (part[start : start + self._batch_rows] for part in (inputs, labels))
                where = (y >= 0).to(weight.device)
                block = model.states(x.to(weight.device), where=where)
                states[end : (end := end + len(block))] = block
        model.train(training)
        return states, targets

    def _score(
        self, model: SparseMaskedLM, states: Tensor, targets: Tensor, added_bias: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Loss [N] and whether the best guess is right [N], on the CPU."""
        losses = torch.empty(len(states), device=states.device)
        correct = torch.empty(len(states), dtype=torch.bool, device=states.device)
        for rows, logits, spare in _logits(model, states, added_bias):
            target = targets[rows]
            log_probabilities = torch.log_softmax(logits, dim=1, out=spare)
            losses[rows] = -log_probabilities.gather(1, target[:, None]).squeeze(1)
            correct[rows] = logits.argmax(dim=1) == target
        return losses.cpu(), correct.cpu()

    def _refit_bias(self, model: SparseMaskedLM, rounds: int = 10) -> Tensor:
        """[V], to add to the output bias: the best one for random masks.

        At the best bias the mean prediction equals the types' frequencies under random masks,
        which are the corpus's own; each round moves every type by the log of their ratio.
        """
        states, targets = self._states(model, self._refit, slice(None))
        # A model may predict more types than its tokenizer has: padding to a round number.
        wanted = torch.zeros(len(model.projection()[0]), device=states.device)
        wanted[: len(self._unigram)] = self._unigram.to(states.device).exp()
        added = torch.zeros_like(wanted)
        # A pseudo-count keeps types that the sample says nothing about where they are.
        prior = 1.0 / len(targets)
        for _ in range(rounds):
            predicted = torch.zeros_like(wanted)
            for _, logits, spare in _logits(model, states, added):
                predicted += torch.softmax(logits, dim=1, out=spare).sum(dim=0)
            added += ((wanted + prior) / (predicted / len(targets) + prior)).log()
        return added


def _masked(rows: NDArray[np.unsignedinteger], masker: Masker) -> tuple[Tensor, Tensor]:
    tokens = torch.from_numpy(rows.astype(np.int64))
    inputs, labels = masker(tokens, torch.arange(len(tokens)), 0)
    return inputs, labels


def _logits(
    model: SparseMaskedLM, states: Tensor, added_bias: Tensor | None
) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield the rows of a chunk of the states, their logits [n, V], and a buffer of that shape.

    All chunks share their memory: the allocator cannot merge what freed chunks leave behind as
    soon as anything small that lives longer was allocated in between.
    """
    weight, bias = model.projection()
    weight = weight.detach().float()
    offset = torch.zeros_like(weight[:, 0]) if bias is None else bias.detach().float()
    if added_bias is not None:
        offset = offset + added_bias
    size = max(1, _CHUNK_ELEMENTS // len(weight))
    memory = torch.empty(2, min(size, len(states)), len(weight), device=weight.device)
    for start in range(0, len(states), size):
        chunk = states[start : start + size]
        logits, spare = memory[:, : len(chunk)]
        torch.addmm(offset, chunk, weight.t(), out=logits)
        yield slice(start, start + len(chunk)), logits, spare

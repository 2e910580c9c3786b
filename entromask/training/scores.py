"""Where the scores of a batch come from: the corpus, a teacher, the model, its own past."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from entromask.masking import Masker
from entromask.masking.accuracy import AccuracyWeights
from entromask.masking.frequency import FrequencyScore
from entromask.masking.levels import scale_of
from entromask.masking.noise import uniform
from entromask.masking.own import own_score
from entromask.masking.pmi import PMIScore
from entromask.masking.running import RunningScores
from entromask.masking.scoring import (
    GROUPS,
    Score,
    highest_score,
    masked_scores,
    position_scores,
    visible_scores,
)
from entromask.masking.store import ScoreStore
from entromask.modeling.masked_lm import Prediction, SparseMaskedLM
from entromask.processes import gather_rows, sum_over_processes
from entromask.spec import Masking
from entromask.text.encoding import frame_ids
from entromask.text.packing import PackedCorpus
from entromask.training.batches import Batch
from entromask.training.cost import Cost

# Averages weights that start from chance: what is older than a tenth of the steps soon counts
# little (the ramp of TensorFlow's ExponentialMovingAverage, `num_updates`).
_RAMP = 10


@dataclass(frozen=True)
class Inputs:
    """What scores are made from.

    Attributes:
        masking: resolved.
        model: in training; supplies the scores of source self.
        teacher: asked each step with refresh fresh.
        store: the teacher's scores, with refresh cached.
        masker: knows the positions that can be selected; the others are not scored.
        accelerator: its precision is that of a scoring pass too.
        folder: where scores of the model's own are kept while it trains.
        batch_size: rows of a step, over all processes.
        rows_at_once: rows of one scoring pass, which bounds its memory.
    """

    masking: Masking
    model: SparseMaskedLM
    teacher: SparseMaskedLM | None
    corpus: PackedCorpus
    tokenizer: PreTrainedTokenizerBase
    store: ScoreStore | None
    masker: Masker
    accelerator: Accelerator
    folder: Path
    seed: int
    batch_size: int
    rows_at_once: int


class Scores:
    """Scores that no step changes: of a function of the rows; None for uniform masks."""

    statistics = False  # whether a step has to say what its predictions were like

    def __init__(self, of: Callable[[Batch], Tensor | None]) -> None:
        self._of = of

    def __call__(self, batch: Batch) -> Tensor | None:
        """[b, T] on the CPU, or None for uniform scores."""
        return self._of(batch)

    def flops(self, cost: Cost, tokens: float) -> float:
        """What the scores of a step with so many tokens cost beside the training itself."""
        return 0.0

    def also(self, batch: Batch, labels: Tensor) -> Tensor | None:
        """[b, T] bool: the positions whose head states the step computes for `learn`."""
        return None

    def learn(self, batch: Batch, inputs: Tensor, labels: Tensor, found: list[Prediction]) -> None:
        """Hears of a step, part for part, before the model changes; inputs, labels: [b, T]."""

    def stepped(self) -> None:
        """Hears that the model has changed."""

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint has to hold."""
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Puts back what `tensors` gave."""

    def close(self) -> None:
        """Removes what only the training needs."""


class FreshScores(Scores):
    """Scores of a model as it is now: a forward pass for the batch, or one for each group."""

    def __init__(self, inputs: Inputs, model: SparseMaskedLM) -> None:
        self._inputs, self._model = inputs, model
        self._score: Score = "surprisal" if inputs.masking.score == "surprisal" else "entropy"
        self._special = frame_ids(inputs.tokenizer)
        self._cost = Cost.of(model, inputs.corpus.train.shape[1])

    def __call__(self, batch: Batch) -> Tensor:
        own = self._inputs
        with own.accelerator.autocast():
            if own.masking.view == "visible":
                return visible_scores(
                    self._model,
                    batch.rows,
                    score=self._score,
                    where=own.masker.maskable(batch.rows),
                    batch_size=own.rows_at_once,
                )
            return masked_scores(
                self._model,
                own.masker.mask_id,
                self._special,
                batch.rows,
                batch.row_ids,
                score=self._score,
                batch_size=own.rows_at_once,
            )

    def flops(self, cost: Cost, tokens: float) -> float:
        passes = GROUPS if self._inputs.masking.view == "masked" else 1
        return self._cost.forward(passes * tokens, tokens)


class AverageScores(FreshScores):
    """Scores of an exponential moving average of the model's weights."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs, copy.deepcopy(inputs.model).requires_grad_(False))
        self._decay = float(inputs.masking.ema_decay or 0.0)
        self._steps = torch.zeros((), dtype=torch.int64)
        self._pairs = (
            [parameter.data for parameter in self._model.parameters()],
            [parameter.data for parameter in inputs.model.parameters()],
        )

    def stepped(self) -> None:
        self._steps += 1
        steps = int(self._steps)
        decay = min(self._decay, (1 + steps) / (_RAMP + steps))
        average, now = self._pairs
        torch._foreach_lerp_(average, now, 1 - decay)

    def tensors(self) -> dict[str, Tensor]:
        return {f"average.{i}": tensor for i, tensor in enumerate(self._pairs[0])} | {
            "steps": self._steps
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        for i, tensor in enumerate(self._pairs[0]):
            tensor.copy_(tensors[f"average.{i}"])
        self._steps.copy_(tensors["steps"])


class CachedScores(Scores):
    """Scores of the model's own, from what earlier steps computed anyway.

    In the masked view a step gives those of the positions that it hid behind the mask token, at no
    further pass; in the visible view those of a random share of the positions that it left alone,
    whose states it has anyway. A position that has never been scored gets the running mean of its
    token type.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._score: Score = "surprisal" if inputs.masking.score == "surprisal" else "entropy"
        self._hidden = inputs.masking.view == "masked"
        self.statistics = self._hidden
        rows, length = inputs.corpus.train.shape
        self._running = RunningScores(
            inputs.folder / "self.u8",
            rows,
            length,
            len(inputs.corpus.counts),
            highest_score(inputs.model, self._score),
            inputs.accelerator.is_main_process,
            inputs.accelerator.wait_for_everyone,
            scale_of(self._score),
        )

    def __call__(self, batch: Batch) -> Tensor:
        return self._running.read(batch.rows, batch.row_ids)

    def flops(self, cost: Cost, tokens: float) -> float:
        return cost.head * tokens * float(self._inputs.masking.refresh_share or 0.0)

    def also(self, batch: Batch, labels: Tensor) -> Tensor | None:
        if self._hidden:
            return None
        length = batch.rows.shape[1]
        noise = uniform(self._inputs.seed, "refresh", batch.epoch, batch.row_ids, length)
        drawn = noise < float(self._inputs.masking.refresh_share or 0.0)
        return drawn & (labels < 0) & self._inputs.masker.maskable(batch.rows)

    def learn(self, batch: Batch, inputs: Tensor, labels: Tensor, found: list[Prediction]) -> None:
        scores = torch.zeros(labels.shape)
        if self._hidden:
            place = labels >= 0
            scores[place] = torch.cat([self._of_statistics(one) for one in found])
            # A token that was kept or replaced was not hidden from the model.
            place &= inputs == self._inputs.masker.mask_id
        else:
            drawn = self.also(batch, labels)
            assert drawn is not None
            place = drawn
            tokens = torch.split(batch.rows[place], [len(self._others(one)) for one in found])
            scores[place] = torch.cat(
                [self._of_states(one, ids) for one, ids in zip(found, tokens, strict=True)]
            )
        # Each process keeps the scores of all rows.
        known = scores.masked_fill(~place, torch.nan)
        self._running.update(
            *(
                gather_rows(self._inputs.accelerator, one, self._inputs.batch_size)
                for one in (batch.rows, batch.row_ids, known)
            )
        )

    def _of_statistics(self, found: Prediction) -> Tensor:
        assert found.statistics is not None
        entropy, surprisal, _ = found.statistics
        return (entropy if self._score == "entropy" else surprisal).float().cpu()

    def _of_states(self, found: Prediction, tokens: Tensor) -> Tensor:
        states = self._others(found)
        with self._inputs.accelerator.autocast():
            scores = position_scores(
                self._inputs.model, states, tokens.to(states.device), self._score
            )
        return scores.float().cpu()

    def _others(self, found: Prediction) -> Tensor:
        assert found.others is not None
        return found.others

    def tensors(self) -> dict[str, Tensor]:
        return self._running.tensors()

    def load(self, tensors: dict[str, Tensor]) -> None:
        self._running.load(tensors)

    def close(self) -> None:
        self._running.close()


class AdaptiveScores(Scores):
    """Weights of token types by how badly the model predicts them (AMLM, arXiv:2510.20475)."""

    statistics = True

    def __init__(self, inputs: Inputs) -> None:
        self._accelerator = inputs.accelerator
        self._weights = AccuracyWeights(len(inputs.corpus.counts))

    def __call__(self, batch: Batch) -> Tensor:
        return self._weights(batch.rows)

    def learn(self, batch: Batch, inputs: Tensor, labels: Tensor, found: list[Prediction]) -> None:
        correct = torch.cat([one.statistics.correct.cpu() for one in found if one.statistics])
        targets = labels[labels >= 0]
        counts = self._weights.counted(targets, correct).to(self._accelerator.device)
        self._weights.update(sum_over_processes(self._accelerator, counts).cpu())

    def tensors(self) -> dict[str, Tensor]:
        return self._weights.tensors()

    def load(self, tensors: dict[str, Tensor]) -> None:
        self._weights.load(tensors)


def batch_scores(inputs: Inputs) -> Scores:
    """The scores that the masking of a run selects by.

    Raises:
        InputError: a strategy of the user's cannot be loaded.
    """
    masking, corpus = inputs.masking, inputs.corpus
    if masking.score == "uniform":
        return Scores(lambda batch: None)
    if masking.score == "frequency":
        frequency = FrequencyScore(corpus.counts)
        return Scores(lambda batch: frequency(batch.rows))
    if masking.score == "pmi":
        special = frame_ids(inputs.tokenizer)
        pmi = PMIScore.of_rows(corpus.train, corpus.counts, special)
        return Scores(lambda batch: pmi(batch.rows))
    if masking.score == "amlm":
        return AdaptiveScores(inputs)
    if masking.source is None:
        own = own_score(str(masking.score), inputs.tokenizer, corpus.counts)
        return Scores(lambda batch: own(batch.rows, batch.row_ids))
    if masking.source == "self-ema":
        return AverageScores(inputs)
    if masking.source == "self":
        if masking.refresh == "cached":
            return CachedScores(inputs)
        return FreshScores(inputs, inputs.model)
    if masking.refresh == "fresh":
        assert inputs.teacher is not None
        return FreshScores(inputs, inputs.teacher)
    store = inputs.store
    assert store is not None
    return Scores(lambda batch: store.read(batch.row_ids))

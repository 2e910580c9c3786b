"""What a step has to know of the teacher's predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from torch import Tensor

from entromask.masking.scoring import evaluating
from entromask.modeling.distillation import TeacherLogits, TeacherTopK, distillation_loss
from entromask.modeling.linear_cross_entropy import Statistics
from entromask.modeling.masked_lm import Prediction, SparseMaskedLM
from entromask.spec import Distillation
from entromask.training.cost import Cost

if TYPE_CHECKING:
    from entromask.masking.prediction_store import PredictionStore


@dataclass(frozen=True)
class DistillationTask:
    """The objective of one part of a batch.

    Attributes:
        where: [b, T] bool, the positions where teacher and student are compared.
        teacher: its predictions there, in row-major order.
        mlm_scale, distillation_scale: of the sums over positions, such that the parts of a batch
            add up to a mean per token.
        temperature: of teacher and student.
        predicted, compared: how many positions are predicted and compared in the batch, over all
            processes.
    """

    where: Tensor
    teacher: TeacherLogits | TeacherTopK
    mlm_scale: float
    distillation_scale: float
    temperature: float
    predicted: int
    compared: int
    weight: float

    def loss(
        self,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        statistics: bool,
    ) -> tuple[Tensor, Tensor, Statistics | None]:
        """The loss, [2] the sums of cross-entropy and divergence, and the student's statistics."""
        found = distillation_loss(
            states,
            weight,
            bias,
            targets,
            self.teacher,
            mlm_scale=self.mlm_scale,
            distillation_scale=self.distillation_scale,
            temperature=self.temperature,
            statistics=statistics,
        )
        return found.loss, torch.stack([found.mlm_sum, found.kl_sum]), found.statistics

    def means(self, prediction: Prediction) -> Tensor:
        """[3] the part's share of the batch's mean loss, cross-entropy and divergence, in nats.

        The shares of all parts and processes add up to the means.
        """
        assert prediction.parts is not None
        cross_entropy = prediction.parts[0] / max(1, self.predicted)
        divergence = prediction.parts[1] / max(1, self.compared)
        loss = (1 - self.weight) * cross_entropy + self.weight * self.temperature**2 * divergence
        return torch.stack([loss, cross_entropy, divergence])


# (inputs [b, T] of a part of the batch, its rows) -> its objective.
Tasks = Callable[[Tensor, slice], DistillationTask]


class Distiller:
    """Asks the teacher, or its stored predictions, about the positions of a batch.

    Stored predictions are those behind a mask, so they say nothing about the predicted positions
    whose token was kept or replaced: there only the text is learned.

    Args:
        teacher: on the model's device; None where `store` answers.
        store: its predictions behind a mask, where distillation is cached.
        mask_id: the mask token's.
    """

    def __init__(
        self,
        distillation: Distillation,
        teacher: SparseMaskedLM | None,
        store: PredictionStore | None,
        mask_id: int,
        accelerator: Accelerator,
    ) -> None:
        self._distillation, self._accelerator = distillation, accelerator
        self._mask_id = mask_id
        self._teacher = teacher if distillation.refresh == "fresh" else None
        self._store = store

    def positions(self, inputs: Tensor, labels: Tensor, maskable: Tensor) -> Tensor:
        """[B, T] bool: where teacher and student are compared in a batch."""
        if self._distillation.positions == "all":
            return maskable
        predicted = labels >= 0
        return predicted if self._teacher is not None else predicted & (inputs == self._mask_id)

    def tasks(
        self, row_ids: Tensor, labels: Tensor, where: Tensor, predicted: int, compared: int
    ) -> Tasks:
        """The objective of each part of a batch.

        Args:
            where: of `positions`.
            predicted, compared: how many positions, over all processes.
        """
        weight = self._distillation.weight

        def task(inputs: Tensor, rows: slice) -> DistillationTask:
            here = where[rows]
            return DistillationTask(
                here.to(self._accelerator.device),
                self._predictions(inputs, row_ids[rows], labels[rows] >= 0, here),
                (1 - weight) / max(1, predicted),
                weight / max(1, compared),
                self._distillation.temperature,
                predicted,
                compared,
                weight,
            )

        return task

    def flops(self, tokens: float, compared: float, length: int) -> float:
        """What asking the teacher costs in a step of so many tokens; 0 from a store."""
        if self._teacher is None:
            return 0.0
        return Cost.of(self._teacher, length).forward(tokens, compared)

    def _predictions(
        self, inputs: Tensor, row_ids: Tensor, predicted: Tensor, compared: Tensor
    ) -> TeacherLogits | TeacherTopK:
        device = self._accelerator.device
        if self._teacher is None:
            assert self._store is not None
            ids, probabilities = self._store.read(row_ids, predicted)
            known = compared[predicted]
            return TeacherTopK(ids.to(device), probabilities.to(device), known.to(device))
        with evaluating(self._teacher), self._accelerator.autocast():
            states = self._teacher.states(inputs, where=compared.to(device))
        return TeacherLogits(states, *self._teacher.projection(), self._distillation.top_k)

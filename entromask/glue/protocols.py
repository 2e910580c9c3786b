"""Fine-tunes by a protocol, and records what the protocol chose and whether it sufficed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel

from entromask.glue.batches import EncodedSplit, encode_task
from entromask.glue.convergence import has_converged
from entromask.glue.data import TaskData
from entromask.glue.early_stopping import EarlyStopping
from entromask.glue.fine_tuning import (
    Progress,
    open_model_folder,
    score_classifier,
    train_classifier,
    width_of,
)
from entromask.glue.selection import Selection, select_learning_rate
from entromask.glue.targets import TargetScale
from entromask.glue.tasks import Task
from entromask.presets import Protocol


class FineTuned(NamedTuple):
    """A fine-tuned model, what its result records of the training, and a regression's scale."""

    model: PreTrainedModel
    record: dict[str, Any]
    scale: TargetScale | None


def fine_tune(
    model_dir: Path,
    data: TaskData,
    protocol: Protocol,
    seed: int,
    device: str | torch.device = "cpu",
    on_progress: Progress | None = None,
    encoded: Mapping[str, EncodedSplit] | None = None,
) -> dict[str, Any]:
    """Fine-tune on the training split and score the evaluation splits.

    Args:
        model_dir: a Hugging Face folder with model and tokenizer, of any architecture.
        data: of a task with a training split of its own, so not of AX.
        on_progress: called with (steps done, steps) of the final training.
        encoded: the task as `encode_task` gives it, to encode once for several seeds.

    Returns:
        That of `score_classifier`, and what `train_by_protocol` records.

    Raises:
        InputError: the folder holds no model or no tokenizer.
    """
    config, tokenizer = open_model_folder(model_dir)
    if encoded is None:
        encoded = encode_task(data, tokenizer, config, protocol.max_length)
    task, train = data.task, encoded["train"]
    selection = None
    if protocol.rate_factors:
        selection = select_learning_rate(model_dir, task, train, protocol, device)
    tuned = train_by_protocol(
        model_dir,
        task,
        train,
        protocol,
        seed,
        device,
        on_progress,
        selection=selection,
        stops_on=encoded[task.evaluation[0]],
    )
    return {**score_classifier(tuned.model, data, encoded, tuned.scale), **tuned.record}


def train_by_protocol(
    model_dir: Path,
    task: Task,
    train: EncodedSplit,
    protocol: Protocol,
    seed: int,
    device: str | torch.device = "cpu",
    on_progress: Progress | None = None,
    *,
    selection: Selection | None = None,
    stops_on: EncodedSplit | None = None,
) -> FineTuned:
    """Fine-tune a model on all of `train`, and record the settings and what was chosen.

    The labels of a regression are standardised with the mean and deviation of `train`, so that
    the result does not depend on their unit.

    Args:
        selection: of the learning rate, where the protocol selects one.
        stops_on: the rows whose loss ends the training, where the protocol has a patience.

    Returns:
        The model; its record: `training` with `learning_rate`, `batch_size`, `epochs`, `steps`,
        `converged`, and, where the protocol chooses something, `selection`, or `stopping` as
        `EarlyStopping.report` gives it; and the scale of a regression's labels.
    """
    record: dict[str, Any] = {}
    if selection is not None:
        protocol = replace(protocol, learning_rate=selection["learning_rate"])
        record["selection"] = selection
    scale = TargetScale.of(train.labels) if task.labels == 0 else None
    if scale is not None:
        train = scale.standardized(train)
        stops_on = None if stops_on is None else scale.standardized(stops_on)
    stopping = None
    if protocol.patience is not None and stops_on is not None:
        stopping = EarlyStopping(stops_on, protocol.patience)
    model, losses = train_classifier(
        model_dir, task, train, protocol, seed, device, on_progress, ends_after=stopping
    )
    record["training"] = {
        "learning_rate": protocol.learning_rate_of(width_of(model_dir)),
        "batch_size": protocol.batch_size,
        "epochs": protocol.epochs_of(len(train)),
        "steps": len(losses),
        "converged": has_converged(losses, train.labels),
    }
    if stopping is not None:
        stopping.restore(model)
        record["stopping"] = stopping.report()
        # It was stopped because the loss on other rows rose: the training loss says nothing.
        record["training"]["converged"] = stopping.ended
    return FineTuned(model, record, scale)

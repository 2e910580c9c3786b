"""Fine-tunes by a protocol, and says beside the result what the protocol chose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from entromask.glue.batches import EncodedSplit, encode_task
from entromask.glue.data import TaskData
from entromask.glue.early_stopping import EarlyStopping
from entromask.glue.fine_tuning import (
    Progress,
    open_model_folder,
    score_classifier,
    train_classifier,
)
from entromask.glue.selection import Selection, select_learning_rate
from entromask.glue.tasks import Task
from entromask.presets import Protocol


def fine_tune(
    model_dir: Path,
    data: TaskData,
    protocol: Protocol,
    seed: int,
    device: str | torch.device = "cpu",
    on_progress: Progress | None = None,
    encoded: Mapping[str, EncodedSplit] | None = None,
) -> dict[str, Any]:
    """Fine-tunes on the training split and scores the evaluation splits.

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
    if protocol.learning_rates:
        selection = select_learning_rate(model_dir, task, train, protocol, device)
    model, record = train_by_protocol(
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
    return {**score_classifier(model, data, encoded), **record}


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
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The model fine-tuned on all of `train`, and a record of what was chosen.

    Args:
        selection: of the learning rate, where the protocol selects one.
        stops_on: the rows whose loss ends the training, where the protocol has a patience.

    Returns:
        The model; and `selection`, or `stopping` as `EarlyStopping.report` gives it, where the
        protocol chooses something.
    """
    record: dict[str, Any] = {}
    if selection is not None:
        protocol = replace(protocol, learning_rate=selection["learning_rate"])
        record["selection"] = selection
    stopping = None
    if protocol.patience is not None and stops_on is not None:
        stopping = EarlyStopping(stops_on, protocol.patience)
    model = train_classifier(
        model_dir, task, train, protocol, seed, device, on_progress, ends_after=stopping
    )
    if stopping is not None:
        stopping.restore(model)
        record["stopping"] = stopping.report()
    return model, record

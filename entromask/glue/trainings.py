"""The fine-tunings of one evaluation: from the pretrained model, or from the one tuned on MNLI."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from entromask.glue.batches import EncodedSplit, encode_task
from entromask.glue.cells import read_cell, setup_fingerprint, write_cell
from entromask.glue.data import TaskData, load_for
from entromask.glue.fine_tuning import Progress, load_classifier, open_model_folder
from entromask.glue.plan import trained_as
from entromask.glue.protocols import FineTuned, train_by_protocol
from entromask.glue.selection import Selection, part_of, select_learning_rate, selection_in
from entromask.glue.tasks import FROM_MNLI, Task
from entromask.modeling.architectures import save_pretrained
from entromask.presets import PROTOCOLS
from entromask.spec import Evaluation
from entromask.text.cache import build_once

_RECORD = "record.json"


class Trainings:
    """Fine-tunes a model on an evaluation's tasks.

    What several seeds or tasks share lies in `folder`, made by whichever of them asks first while
    the others wait: the selection of a task's learning rate, and, with `intermediate`, the model
    fine-tuned on MNLI with each seed.

    Args:
        model: the fingerprint of the model in `model_dir`.
        loaded: tasks that need not be read again.
        on_progress: called with (steps done, steps) of all trainings that a classifier takes.
        on_message: told of files that cannot be used.
    """

    def __init__(
        self,
        model_dir: Path,
        model: str,
        evaluation: Evaluation,
        folder: Path,
        device: str | torch.device,
        loaded: Collection[TaskData],
        on_progress: Progress,
        on_message: Callable[[str], None],
    ) -> None:
        self._model_dir = model_dir
        self._model = model
        self._evaluation = evaluation
        self._folder = folder
        self._device = device
        self._loaded = {data.task.name: data for data in loaded}
        self._on_progress = on_progress
        self._on_message = on_message
        self._protocol = PROTOCOLS[evaluation.protocol]
        self._config, self._tokenizer = open_model_folder(model_dir)
        self._encoded: dict[tuple[str, str], EncodedSplit] = {}

    def classifier(self, data: TaskData, seed: int) -> FineTuned:
        """Return the model fine-tuned on a task's training rows, with the record of its training.

        Args:
            data: of AX, the model is that of MNLI.

        Raises:
            DiskFullError: there is no room for what is shared.
        """
        start, trained = self._evaluation.intermediate, trained_as(data.task)
        if start is None or trained.name not in (start, *FROM_MNLI):
            return self._trained(data, self._model_dir, seed, self._on_progress)
        if trained.name == start:
            folder, record, _ = self._intermediate(start, seed, self._on_progress)
            return FineTuned(self._opened(folder, trained), record, None)
        first, second = (part_of(self._on_progress, number, 2) for number in range(2))
        folder, _, made = self._intermediate(start, seed, first)
        tuned = self._trained(data, folder, seed, second if made else self._on_progress)
        return tuned._replace(record={**tuned.record, "intermediate": start})

    def encoded(self, data: TaskData, split: str) -> EncodedSplit:
        """A split as tokens; it is encoded once."""
        key = data.task.name, split
        if key not in self._encoded:
            splits = encode_task(
                data, self._tokenizer, self._config, self._protocol.max_length, [split]
            )
            self._encoded[key] = splits[split]
        return self._encoded[key]

    def _trained(self, data: TaskData, start: Path, seed: int, on_progress: Progress) -> FineTuned:
        selection, made = None, 0
        if self._protocol.rate_factors:
            selection, made = self._selection(data, on_progress)
        stops_on = None
        if self._protocol.patience is not None:
            # Of AX it is the loss on MNLI that ends the training.
            judge = self._data(trained_as(data.task).name)
            stops_on = self.encoded(judge, judge.task.evaluation[0])
        return train_by_protocol(
            start,
            data.task,
            self.encoded(data, "train"),
            self._protocol,
            seed,
            self._device,
            part_of(on_progress, made, made + 1),
            selection=selection,
            stops_on=stops_on,
        )

    def _selection(self, data: TaskData, on_progress: Progress) -> tuple[Selection, int]:
        """A task's learning rate, and the trainings that finding it has taken now.

        It is always selected from the pretrained model: one selection is for all seeds, and a
        model fine-tuned on MNLI is for one.
        """
        task = trained_as(data.task)
        rows = self.encoded(data, "train")
        steps = self._protocol.steps(len(rows))
        made = 0

        def report(done: int, total: int) -> None:
            # The final training follows.
            on_progress(done, total + steps)

        def select() -> Selection:
            nonlocal made
            selection = select_learning_rate(
                self._model_dir, task, rows, self._protocol, self._device, report
            )
            made = len(selection["scores"])
            return selection

        setup = setup_fingerprint(self._model, rows.fingerprint(), self._protocol.data())
        file = self._folder / f"{task.name}-selection.json"
        return selection_in(file, setup, select, self._on_message), made

    def _intermediate(
        self, name: str, seed: int, on_progress: Progress
    ) -> tuple[Path, dict[str, Any], bool]:
        """The folder of the model fine-tuned on a task that others start from.

        Also the record of that training, and whether it was done now.
        """
        data = self._data(name)
        options = {**self._protocol.data(), "seed": seed}
        setup = setup_fingerprint(self._model, data.fingerprint, options)
        folder = self._folder / "intermediate" / f"{name}-seed{seed}"
        made: dict[str, Any] | None = None

        def build(building: Path) -> None:
            nonlocal made
            model, made, _ = self._trained(data, self._model_dir, seed, on_progress)
            save_pretrained(model, self._tokenizer, building)
            kept = {"weights": _weights(building), "record": made}
            write_cell(building / _RECORD, setup, kept)

        _, problem = read_cell(folder / _RECORD, setup)
        if problem is not None:
            self._on_message(problem)
        build_once(
            folder,
            build,
            lambda found: _record(found, setup) is not None,
            f"the model fine-tuned on {name}",
        )
        record = made if made is not None else _record(folder, setup)
        assert record is not None, "what build_once leaves is whole"
        return folder, record, made is not None

    def _opened(self, folder: Path, task: Task) -> PreTrainedModel:
        # Opening a model draws a head, which its own then replaces.
        with torch.random.fork_rng(devices=[]):
            return load_classifier(folder, task.labels).to(self._device)

    def _data(self, name: str) -> TaskData:
        if name not in self._loaded:
            self._loaded[name] = load_for(self._evaluation, name)
        return self._loaded[name]


def _weights(folder: Path) -> str:
    with (folder / "model.safetensors").open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _record(folder: Path, setup: str) -> dict[str, Any] | None:
    """The record beside a fine-tuned model; None where the two are not whole or of this set-up."""
    kept, _ = read_cell(folder / _RECORD, setup)
    try:
        return kept["record"] if kept is not None and kept["weights"] == _weights(folder) else None
    except OSError:
        return None

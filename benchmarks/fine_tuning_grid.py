"""The default fine-tuning protocol beside the best of a grid of learning rates and epochs.

For every model, and the same model without pretraining, and every training set: each setting of the
grid is trained on four fifths of the training rows and scored on the others; the best three are
trained with two more seeds. The setting with the best mean over the three seeds is trained on all
training rows and scored on the validation rows, three fine-tuning seeds, and so is the default
protocol. The validation rows select nothing. On more than 2,000 training rows only the two rates
that are best at three epochs are trained for ten, and none for thirty.

    python benchmarks/fine_tuning_grid.py --glue DIR --model tiny=RUN/model [--model mini=RUN/model]

A training that the result file holds already is not repeated, so that a call can be interrupted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _machine import RESULTS, machine

from entromask.evaluating import save_untrained
from entromask.glue.batches import EncodedSplit, encode_task
from entromask.glue.data import TaskData, load_task
from entromask.glue.fine_tuning import (
    answers,
    open_model_folder,
    predict,
    score_classifier,
    train_classifier,
)
from entromask.glue.metrics import score_predictions, task_score
from entromask.presets import PROTOCOLS, Protocol
from entromask.spec import TaskSource
from entromask.text.cache import write_once
from entromask.training.device import keep_freed_memory

# A task, and how many of its training rows; None: all.
TRAINING_SETS = (("sst2", 500), ("sst2", 1500), ("mrpc", None), ("cola", None), ("sst2", 8000))
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
EPOCHS = (3, 10, 30)
# Thirty epochs of more rows take hours on a core; ten of them are for the best rates only.
FULL_GRID_ROWS = 2000
RATES_OF_MANY_ROWS = 2
HELD_OUT_SHARE = 0.2
SEEDS = (0, 1, 2)
FINALISTS = 3
LOSS_BINS = 20


@dataclass(frozen=True)
class Setup:
    """A model on one training set."""

    model: str
    folder: Path
    data: TaskData
    encoded: dict[str, EncodedSplit]

    @property
    def rows(self) -> int:
        return len(self.encoded["train"])

    @property
    def name(self) -> str:
        return f"{self.model} {self.data.task.name} {self.rows}"

    def settings(self, epochs: int, rates: Iterable[float | None]) -> list[Protocol]:
        return [
            replace(PROTOCOLS["fixed"], learning_rate=rate, epochs=epochs, min_steps=0)
            for rate in rates
        ]

    def held_out(self) -> tuple[EncodedSplit, EncodedSplit]:
        order = np.random.default_rng(0).permutation(self.rows)
        count = int(self.rows * HELD_OUT_SHARE)
        train = self.encoded["train"]
        return train.subset(np.sort(order[count:])), train.subset(np.sort(order[:count]))


class Results:
    """Finished trainings by their description, in a file that is whole after each of them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.trainings: dict[str, Any] = {}
        if file.is_file():
            self.trainings = json.loads(file.read_text(encoding="utf-8"))["trainings"]

    def write(self, summary: list[dict[str, Any]]) -> None:
        content = {"machine": machine(), "summary": summary, "trainings": self.trainings}
        write_once(self.file, (json.dumps(content, indent=1) + "\n").encode())

    def training(self, setup: Setup, stage: str, protocol: Protocol, seed: int) -> dict[str, Any]:
        """One training: its score, on held-out rows or on the validation rows, and its losses."""
        rate = protocol.learning_rate_of(width(setup.folder))
        epochs = protocol.epochs_of(setup.rows)
        key = f"{setup.name}, {stage}, rate {rate:g}, epochs {epochs}, seed {seed}"
        if key not in self.trainings:
            self.trainings[key] = (tuned if stage == "held out" else reported)(
                setup, protocol, seed
            )
            print(f"{key}: {100 * self.trainings[key]['score']:.2f}", flush=True)
            self.write([])
        return dict(self.trainings[key])


def width(folder: Path) -> int:
    return int(open_model_folder(folder)[0].hidden_size)


def tuned(setup: Setup, protocol: Protocol, seed: int) -> dict[str, Any]:
    """Train on four fifths of the training rows, score the others."""
    rows, judged = setup.held_out()
    model, losses = train_classifier(setup.folder, setup.data.task, rows, protocol, seed)
    predicted = answers(setup.data.task, predict(model, judged))
    score = task_score(score_predictions(setup.data.task, predicted, judged.labels.tolist()))
    return {"score": score, "losses": binned(losses)}


def reported(setup: Setup, protocol: Protocol, seed: int) -> dict[str, Any]:
    """Train on all training rows, score the validation rows."""
    train = setup.encoded["train"]
    model, losses = train_classifier(setup.folder, setup.data.task, train, protocol, seed)
    scored = score_classifier(model, setup.data, setup.encoded)
    return {"score": scored["score"], "losses": binned(losses)}


def binned(losses: list[float]) -> list[float]:
    """The mean training loss in each twentieth of the steps."""
    parts = np.array_split(np.array(losses), min(LOSS_BINS, len(losses)))
    return [round(float(part.mean()), 4) for part in parts]


def measure(setup: Setup, results: Results) -> dict[str, Any]:
    """Select a setting, and score it and the default protocol."""

    def held_out_score(protocol: Protocol, seeds: tuple[int, ...]) -> float:
        return statistics.fmean(
            results.training(setup, "held out", protocol, seed)["score"] for seed in seeds
        )

    def scored(settings: list[Protocol]) -> dict[Protocol, float]:
        return {one: held_out_score(one, SEEDS[:1]) for one in settings}

    first = scored(setup.settings(EPOCHS[0], RATES))
    few = setup.rows <= FULL_GRID_ROWS
    rates = RATES if few else [p.learning_rate for p in best(first, RATES_OF_MANY_ROWS)]
    for epochs in EPOCHS[1:] if few else EPOCHS[1:2]:
        first |= scored(setup.settings(epochs, rates))
    finalists = best(first, FINALISTS)
    selected = max(finalists, key=lambda protocol: held_out_score(protocol, SEEDS))
    default = PROTOCOLS["fixed"]
    sides = {}
    for name, protocol in (("selected", selected), ("default", default)):
        scores = [results.training(setup, "all rows", protocol, s)["score"] for s in SEEDS]
        sides[name] = {
            "learning_rate": protocol.learning_rate_of(width(setup.folder)),
            "epochs": protocol.epochs_of(setup.rows),
            "mean": statistics.fmean(scores),
            "scores": scores,
        }
    behind = sides["selected"]["mean"] - sides["default"]["mean"]
    line = {"setup": setup.name, **sides, "default_behind": behind}
    print(
        f"== {setup.name}: default {100 * sides['default']['mean']:.1f}, selected "
        f"{100 * sides['selected']['mean']:.1f} (rate {sides['selected']['learning_rate']:g}, "
        f"{sides['selected']['epochs']} epochs), behind by {100 * behind:+.1f} points",
        flush=True,
    )
    return line


def best(scores: dict[Protocol, float], count: int) -> list[Protocol]:
    return sorted(scores, key=lambda protocol: scores[protocol], reverse=True)[:count]


def setups(
    model: str, folder: Path, source: TaskSource, chosen: list[str] | None
) -> Iterator[Setup]:
    config, tokenizer = open_model_folder(folder)
    for task, rows in TRAINING_SETS:
        if chosen is None or f"{task}:{rows or 'all'}" in chosen:
            data = load_task(task, source, max_train_rows=rows)
            yield Setup(model, folder, data, encode_task(data, tokenizer, config, 128))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--glue", nargs="+", required=True, help="local GLUE folders")
    parser.add_argument("--model", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--sets", nargs="*", metavar="TASK:ROWS", help="default: all five")
    parser.add_argument("--only", choices=["pretrained", "untrained"], help="default: both")
    parser.add_argument("--output", type=Path, default=RESULTS / "fine_tuning_grid.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    source, results, summary = TaskSource(local=options.glue), Results(options.output), []
    with tempfile.TemporaryDirectory() as temporary:
        for argument in options.model:
            name, _, path = argument.partition("=")
            untrained = Path(temporary) / name
            save_untrained(Path(path), untrained)
            folders = {f"{name} pretrained": Path(path), f"{name} untrained": untrained}
            for model, folder in folders.items():
                if options.only is None or model.endswith(options.only):
                    for setup in setups(model, folder, source, options.sets):
                        summary.append(measure(setup, results))
    results.write(summary)
    print(f"written to {options.output}")


if __name__ == "__main__":
    main()

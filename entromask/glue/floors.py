"""The floor without pretraining: the same model, untrained, evaluated alike and only once."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from entromask.glue.cells import fingerprint
from entromask.glue.data import load_for
from entromask.glue.evaluation import OnProgress, evaluate, groups
from entromask.presets import PROTOCOLS
from entromask.settings import settings
from entromask.spec import Evaluation
from entromask.text.cache import write_once

# Raise it when evaluation changes, so that old floors are not used.
_VERSION = 2
# Of a model's configuration: what says nothing about the model.
_INCIDENTAL = ("transformers_version", "_name_or_path", "dtype", "torch_dtype")


class Floor(NamedTuple):
    """A score without pretraining, and whether its fine-tuning had converged.

    `converged` is None where nothing is fine-tuned.
    """

    score: float
    converged: bool | None

    def data(self) -> dict[str, Any]:
        """Return the floor as keys of a task's results."""
        floor: dict[str, Any] = {"untrained_floor": self.score}
        return floor if self.converged is None else {**floor, "untrained_converged": self.converged}


def add_floors(
    tasks: Mapping[str, dict[str, Any]],
    model_dir: Path,
    evaluation: Evaluation,
    make_untrained: Callable[[Path], None],
    device: str = "cpu",
    on_progress: OnProgress | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the table of `evaluate` with the floors without pretraining.

    Each task gets `untrained_floor`, the same model's score without pretraining, and, where it was
    fine-tuned, `untrained_converged`. Arguments and errors are those of `measure_floors`.
    """
    floors = measure_floors(model_dir, evaluation, make_untrained, device, on_progress)
    return {name: {**entry, **floors[name].data()} for name, entry in tasks.items()}


def measure_floors(
    model_dir: Path,
    evaluation: Evaluation,
    make_untrained: Callable[[Path], None],
    device: str = "cpu",
    on_progress: OnProgress | None = None,
) -> dict[str, Floor]:
    """By task, the score of the same model without pretraining, nor any training in between.

    A task that has no score has no floor.

    Measured once per set-up (configuration, tokenizer, task data, protocol, fine-tuning seeds)
    and kept in the cache, whichever run asks first; a second one that asks meanwhile waits.

    Args:
        model_dir: the pretrained model, for its configuration and tokenizer.
        make_untrained: writes the same model with fresh weights, always the same ones, into the
            folder that it is given.

    Raises:
        DiskFullError: there is no room in the cache.
    """
    from entromask.text.tokenizer import load_tokenizer, tokenizer_fingerprint

    config = json.loads((model_dir / "config.json").read_text(encoding="utf-8"))
    model = {
        "version": _VERSION,
        "config": {key: value for key, value in config.items() if key not in _INCIDENTAL},
        "tokenizer": tokenizer_fingerprint(load_tokenizer(str(model_dir))),
    }
    plain = {"intermediate": None, "predict_test": False}
    scored = [
        name
        for name in evaluation.tasks
        if evaluation.task(name).kind != "diagnostic" or load_for(evaluation, name).scored
    ]
    evaluation = evaluation.model_copy(update={**plain, "tasks": scored})
    floors: dict[str, Floor] = {}
    members = groups(evaluation)
    for number, names in enumerate(members):
        part = evaluation.model_copy(update={"tasks": names})
        place = settings().cache / "floors" / _key(model, part)
        progress = _part_of(on_progress, number, len(members))
        floors |= _measured(place, part, make_untrained, device, progress)
        progress(1, 1)
    return floors


def _key(model: Mapping[str, Any], evaluation: Evaluation) -> str:
    parts = {
        "model": dict(model),
        "data": {name: load_for(evaluation, name).fingerprint for name in evaluation.tasks},
        "protocol": PROTOCOLS[evaluation.protocol].data(),
        "seeds": sorted(evaluation.seeds),
        "pairs": evaluation.blimp_pairs,
    }
    return fingerprint(parts)[:32]


def _measured(
    place: Path,
    evaluation: Evaluation,
    make_untrained: Callable[[Path], None],
    device: str,
    on_progress: OnProgress,
) -> dict[str, Floor]:
    place.mkdir(parents=True, exist_ok=True)
    summary = place / "floors.json"
    with FileLock(place.with_name(f"{place.name}.lock")):
        kept = _read(summary, evaluation.tasks)
        if kept is not None:
            return kept
        with tempfile.TemporaryDirectory(dir=place, prefix="untrained-") as folder:
            make_untrained(Path(folder) / "model")
            table = evaluate(
                Path(folder) / "model", evaluation, place, device=device, on_progress=on_progress
            )
        floors = {
            name: Floor(entry["score"], entry.get("converged")) for name, entry in table.items()
        }
        write_once(summary, json.dumps(floors).encode())
    return floors


def _read(summary: Path, names: list[str]) -> dict[str, Floor] | None:
    try:
        floors = {name: Floor(*values) for name, values in json.loads(summary.read_bytes()).items()}
        return {name: floors[name] for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        # Not there yet, or damaged: measured (again).
        return None


def _part_of(on_progress: OnProgress | None, number: int, count: int) -> OnProgress:
    def report(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(100 * number + 100 * done // total, 100 * count)

    return report

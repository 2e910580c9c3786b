"""Runs a spec through its stages: preparing, scoring, pretraining, evaluating, reporting.

`run` does all of it. A worker does the same in pieces: `pretrain`, `evaluate_cell`, `report`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.glue.plan import Cell
from entromask.hub import set_offline
from entromask.preparing import Inputs, keep_passing, prepare, require_space_for_run
from entromask.processes import lost_process_named, main_process_first, wait_for_all
from entromask.reporting import Trained, results_of
from entromask.run_folder import OnEvent, RunFolder, default_folder, write_atomically
from entromask.settings import settings
from entromask.spec import RunSpec
from entromask.stopping import StopRequest, stop_on_signals
from entromask.tracking import Tracking

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase

    from entromask.masking.prediction_store import PredictionStore
    from entromask.masking.store import ScoreStore
    from entromask.modeling.masked_lm import SparseMaskedLM


@dataclass(frozen=True)
class Results:
    """A finished run: its folder, and the content of its results.json."""

    folder: Path
    data: dict[str, Any]


def run(
    spec: RunSpec | dict[str, Any] | str | Path,
    output: str | Path | None = None,
    resume: bool = False,
    on_event: OnEvent | None = None,
    track: Sequence[str] = (),
) -> Results:
    """Runs a spec to its end and writes its run folder.

    Args:
        spec: a RunSpec, the same as plain data, or the path of a YAML file.
        output: the run folder; by default one under ENTROMASK_HOME/runs.
        resume: continue what the folder holds of this same spec.
        on_event: hears every event as it happens.
        track: trackers that get the metrics, beside those of ENTROMASK_TRACKERS.

    Raises:
        InputError: the spec or what it names cannot be used; nothing has been written.
        KeyboardInterrupt: SIGINT or SIGTERM; while pretraining, after a checkpoint.
        ProcessLostError: another process of the run has ended.
    """
    if isinstance(spec, str | Path):
        spec = RunSpec.load(spec)
    elif isinstance(spec, dict):
        spec = RunSpec.parse(spec)
    set_offline(spec)
    spec = spec.resolved()
    path = Path(output).expanduser() if output else default_folder(spec, settings().runs)
    accelerator = _accelerator(spec)
    tracking = Tracking(spec, path, track, on_event)
    folder = RunFolder(path, tracking, writes=accelerator.is_main_process)
    folder.check(spec, resume)
    if resume and folder.results.is_file():
        return _results_in(folder)
    with (
        stop_on_signals() as stop,
        lost_process_named(accelerator),
        _full_disk_named(folder),
        tracking.of(folder),
    ):
        trained = _pretrained(spec, folder, accelerator, resume, stop)
        if accelerator.is_main_process:
            validation = trained.loop.validation.report(trained.loop.model)
            tasks = _evaluate(spec, folder, accelerator)
            folder.enter("reporting")
            results = _reported(spec, folder, trained, validation, tasks, tracking)
        wait_for_all(accelerator)
        return results if accelerator.is_main_process else _results_in(folder)


def _results_in(folder: RunFolder) -> Results:
    return Results(folder.path, json.loads(folder.results.read_text(encoding="utf-8")))


def pretrain(output: Path, on_event: OnEvent | None = None, after: int = 0) -> None:
    """Runs the spec of a run folder up to the saved model, from its last checkpoint if it has one.

    Args:
        output: a run folder with its spec.yaml.
        after: the last sequence number of an event that is known to others.

    Raises:
        InputError: what the spec names cannot be used.
        KeyboardInterrupt: SIGINT or SIGTERM; while pretraining, after a checkpoint.
    """
    spec = _spec_of(output)
    accelerator = _accelerator(spec)
    tracking = Tracking(spec, output, on_event=on_event)
    folder = RunFolder(output, tracking, writes=accelerator.is_main_process)
    with stop_on_signals() as stop, _full_disk_named(folder), tracking.of(folder):
        folder.open(after)
        _pretrained(spec, folder, accelerator, resume=True, stop=stop)


def evaluate_cell(
    output: Path, cell: Cell, on_event: OnEvent | None = None, after: int = 0
) -> None:
    """Computes one piece of the evaluation of a run folder whose model is there.

    Its events go to a file of its own: `cell_events`. Arguments and errors are those of `pretrain`.
    """
    spec = _spec_of(output)
    device = _accelerator(spec).device.type
    from entromask.evaluating import evaluate_cell as compute

    folder = RunFolder(output, on_event, events=cell_events(cell))
    folder.stage = "evaluating"
    folder.evaluation.mkdir(exist_ok=True)
    with stop_on_signals(), _full_disk_named(folder):
        folder.open(after)
        compute(spec.evaluation, folder, cell, device)


def cell_events(cell: Cell) -> str:
    """The events of a cell that was computed on its own: a file in the run folder."""
    return f"evaluation/{cell.name}.events.jsonl"


def report(output: Path, on_event: OnEvent | None = None, after: int = 0) -> Results:
    """Writes results.json of a run folder whose pretraining and evaluation are done.

    What is missing of them is computed. Arguments and errors are those of `pretrain`.
    """
    spec = _spec_of(output)
    accelerator = _accelerator(spec)
    tracking = Tracking(spec, output, on_event=on_event, lenient=True)
    folder = RunFolder(output, tracking)
    with stop_on_signals() as stop, _full_disk_named(folder), tracking.of(folder):
        folder.open(after)
        folder.muted = True  # all this has been said before
        inputs = prepare(spec, folder, accelerator)
        trained = _train(spec, folder, inputs, accelerator, resume=True, stop=stop)
        tasks = _evaluate(spec, folder, accelerator)
        folder.muted = False
        folder.enter("reporting")
        validation = trained.loop.validation.report(trained.loop.model)
        return _reported(spec, folder, trained, validation, tasks, tracking)


def _spec_of(output: Path) -> RunSpec:
    spec = RunSpec.load(output / "spec.yaml").resolved()
    set_offline(spec)
    return spec


def _accelerator(spec: RunSpec) -> Accelerator:
    """The devices of this process, once what is read at import is set."""
    share_processors()
    from transformers.utils import logging as transformers_logging

    from entromask.training.device import keep_freed_memory, make_accelerator

    transformers_logging.disable_progress_bar()  # the run has its own
    keep_freed_memory()
    return make_accelerator(spec.pretraining.precision)


def share_processors() -> None:
    """Lets OpenMP threads sleep soon while they wait for each other.

    They spin for long by default: on two cores, one of them taken by another process, a step of
    a small model then takes ten times as long. OpenMP reads this when torch is imported.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _full_disk_named(folder: RunFolder) -> Any:
    from entromask.disk import full_disk_named

    return full_disk_named("the run", folder.path)


def _pretrained(
    spec: RunSpec, folder: RunFolder, accelerator: Accelerator, resume: bool, stop: StopRequest
) -> Trained:
    """Everything up to the saved model."""
    from entromask.environment import environment

    folder.enter("preparing")
    inputs = prepare(spec, folder, accelerator)
    require_space_for_run(folder.path, spec, inputs)
    folder.create(spec, environment(precision=accelerator.mixed_precision, **inputs.facts))
    if accelerator.is_main_process:
        keep_passing(folder, inputs)
    trained = _train(spec, folder, inputs, accelerator, resume, stop)
    if accelerator.is_main_process:
        trained.loop.keep_last_and_best()
        _save_model(spec, folder, inputs.model, inputs.tokenizer)
    wait_for_all(accelerator)
    return trained


@dataclass(frozen=True)
class Asked:
    """What the teacher has said once for the whole corpus, and what that cost."""

    scores: ScoreStore | None = None
    predictions: PredictionStore | None = None
    cost: dict[str, float] = field(default_factory=dict)


def _ask(spec: RunSpec, folder: RunFolder, inputs: Inputs, accelerator: Accelerator) -> Asked:
    """The teacher's scores and predictions of every training row, computed once for a corpus."""
    from entromask.masking.scoring import open_teacher_scores

    masking, distillation = spec.masking, spec.distillation
    scores = masking.source == "teacher" and masking.refresh == "cached"
    predictions = distillation is not None and distillation.refresh == "cached"
    if inputs.teacher is None:
        return Asked()
    teacher = inputs.teacher.to(accelerator.device)
    if scores or predictions:
        folder.enter("scoring")

    def on_progress(done: int, total: int) -> None:
        folder.emit("progress", step=done, total=total)

    asked = Asked()
    if scores:
        with main_process_first(accelerator):
            store, cost = open_teacher_scores(
                teacher,
                inputs.corpus,
                inputs.tokenizer,
                view=str(masking.view),
                device=accelerator.device,
                on_progress=on_progress,
                score="surprisal" if masking.score == "surprisal" else "entropy",
            )
        asked = Asked(store, None, cost)
    if predictions:
        assert distillation is not None
        from entromask.masking.prediction_store import open_teacher_predictions

        with main_process_first(accelerator):
            predicted, more = open_teacher_predictions(
                teacher,
                inputs.corpus,
                inputs.tokenizer,
                int(distillation.top_k or 0),
                distillation.temperature,
                accelerator.device,
                on_progress,
            )
        total = {name: asked.cost.get(name, 0.0) + value for name, value in more.items()}
        asked = Asked(asked.scores, predicted, total)
    still_asked = (masking.source == "teacher" and not scores) or (
        distillation is not None and not predictions
    )
    if not still_asked:
        inputs.teacher = None  # its memory is not needed any more
    return asked


def _train(
    spec: RunSpec,
    folder: RunFolder,
    inputs: Inputs,
    accelerator: Accelerator,
    resume: bool,
    stop: StopRequest,
) -> Trained:
    """Scoring, then the pretraining loop to its end, from the last checkpoint with `resume`."""
    from entromask.training.pretraining import Interrupted, Pretraining

    asked = _ask(spec, folder, inputs, accelerator)
    folder.enter("pretraining")
    loop = Pretraining(
        spec=spec,
        model=inputs.model.to(accelerator.device),
        tokenizer=inputs.tokenizer,
        corpus=inputs.corpus,
        store=asked.scores,
        teacher=inputs.teacher,
        predictions=asked.predictions,
        accelerator=accelerator,
        folder=folder.checkpoints,
        emit=folder.emit,
        should_stop=lambda: stop.requested,
    )
    if resume and loop.resume():
        folder.emit("resumed", step=loop.progress.step, total=loop.schedule.total_steps)
    elif asked.cost:
        # Curves over FLOPs and over time begin with it, whichever run filled the store.
        cost = {f"scoring_{name}": value for name, value in asked.cost.items()}
        folder.emit("progress", step=0, total=loop.schedule.total_steps, metrics=cost)
    stop.can_wait = True
    try:
        loop.run()
    except Interrupted:
        raise KeyboardInterrupt from None
    finally:
        stop.can_wait = False
    return Trained(inputs, loop, asked.scores, asked.cost)


def _save_model(
    spec: RunSpec, folder: RunFolder, model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Writes a plain Hugging Face folder, whole or not at all."""
    from entromask.modeling.architectures import save_pretrained

    building = folder.path / ".model.building"
    shutil.rmtree(building, ignore_errors=True)
    save_pretrained(model.model, tokenizer, building)
    _write_card(spec, folder, building)
    shutil.rmtree(folder.model, ignore_errors=True)
    building.rename(folder.model)


def _write_card(
    spec: RunSpec, folder: RunFolder, model: Path, results: dict[str, Any] | None = None
) -> None:
    from entromask.analysis.model_card import model_card
    from entromask.analysis.runs import read_json

    environment = read_json(folder.path / "environment.json")
    write_atomically(model / "README.md", model_card(spec, results, environment))


def _evaluate(
    spec: RunSpec, folder: RunFolder, accelerator: Accelerator
) -> dict[str, dict[str, Any]]:
    if not spec.evaluation.tasks:
        return {}
    from entromask.evaluating import evaluate_model

    folder.enter("evaluating")
    return evaluate_model(spec.evaluation, folder, accelerator.device.type)


def _reported(
    spec: RunSpec,
    folder: RunFolder,
    trained: Trained,
    validation: dict[str, float],
    tasks: dict[str, dict[str, Any]],
    tracking: Tracking,
) -> Results:
    data = results_of(spec, trained, validation, tasks)
    folder.write_results(data)
    for warning in data["warnings"]:
        folder.emit("warning", message=warning)
    _write_card(spec, folder, folder.model, data)
    tracking.succeed(data)
    folder.emit("done", metrics=data["validation"])
    return Results(folder.path, data)

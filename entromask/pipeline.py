"""Runs a spec through its stages: preparing, scoring, pretraining, evaluating, reporting."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.errors import InputError
from entromask.hub import set_offline
from entromask.run_folder import OnEvent, RunFolder, default_folder, write_json
from entromask.settings import settings
from entromask.spec import ModelReference, RunSpec

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase

    from entromask.masking.store import ScoreStore
    from entromask.modeling.masked_lm import SparseMaskedLM
    from entromask.text.packing import PackedCorpus
    from entromask.training.pretraining import Pretraining


@dataclass(frozen=True)
class Results:
    """A finished run: its folder, and the content of its results.json."""

    folder: Path
    data: dict[str, Any]


class StopRequest:
    """What a signal asks for: at the next step where a checkpoint can be written, else at once."""

    def __init__(self) -> None:
        self.requested = False
        self.can_wait = False

    def __call__(self, _signal: int, _frame: object) -> None:
        if not self.can_wait or self.requested:
            raise KeyboardInterrupt
        self.requested = True


@dataclass
class _Inputs:
    """What a run is made from, opened and checked before anything is written."""

    tokenizer: PreTrainedTokenizerBase
    corpus: PackedCorpus
    model: SparseMaskedLM
    teacher: SparseMaskedLM | None
    facts: dict[str, Any]


def run(
    spec: RunSpec | dict[str, Any] | str | Path,
    output: str | Path | None = None,
    resume: bool = False,
    on_event: OnEvent | None = None,
) -> Results:
    """Runs a spec to its end and writes its run folder.

    Args:
        spec: a RunSpec, the same as plain data, or the path of a YAML file.
        output: the run folder; by default one under ENTROMASK_HOME/runs.
        resume: continue what the folder holds of this same spec.
        on_event: hears every event as it happens.

    Raises:
        InputError: the spec or what it names cannot be used; nothing has been written.
        KeyboardInterrupt: SIGINT or SIGTERM; while pretraining, after a checkpoint.
    """
    if isinstance(spec, str | Path):
        spec = RunSpec.load(spec)
    elif isinstance(spec, dict):
        spec = RunSpec.parse(spec)
    set_offline(spec)
    _share_processors()
    spec = spec.resolved()
    path = Path(output).expanduser() if output else default_folder(spec, settings().runs)

    from transformers.utils import logging as transformers_logging

    from entromask.disk import full_disk_named
    from entromask.training.device import keep_freed_memory, make_accelerator

    transformers_logging.disable_progress_bar()  # the run has its own
    keep_freed_memory()
    accelerator = make_accelerator(spec.pretraining.precision)
    folder = RunFolder(path, on_event, writes=accelerator.is_main_process)
    folder.check(spec, resume)
    if resume and folder.results.is_file():
        return _finished(folder)
    with _stop_on_signals() as stop, full_disk_named("the run", folder.path):
        return _run(spec, folder, accelerator, resume, stop)


def _share_processors() -> None:
    """Lets OpenMP threads sleep soon while they wait for each other.

    They spin for long by default: on two cores, one of them taken by another process, a step of
    a small model then takes ten times as long. OpenMP reads this when torch is imported.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _run(
    spec: RunSpec, folder: RunFolder, accelerator: Accelerator, resume: bool, stop: StopRequest
) -> Results:
    from entromask.environment import environment

    folder.enter("preparing")
    inputs = _prepare(spec, folder, accelerator)
    _require_space(folder.path, inputs)
    folder.create(spec, environment(precision=accelerator.mixed_precision, **inputs.facts))
    store, scoring = _score(spec, folder, inputs, accelerator)
    loop = _pretrain(spec, folder, inputs, store, accelerator, resume, stop)
    report = loop.validation.report(loop.model)
    tasks = _evaluate(spec, folder, inputs, accelerator) if accelerator.is_main_process else {}
    accelerator.wait_for_everyone()
    folder.enter("reporting")
    data = _results(spec, inputs, loop, report, tasks, store, scoring)
    if accelerator.is_main_process:
        write_json(folder.results, data)
    for warning in data["warnings"]:
        folder.emit("warning", message=warning)
    folder.emit("done", metrics=data["validation"])
    return Results(folder.path, data)


def _prepare(spec: RunSpec, folder: RunFolder, accelerator: Accelerator) -> _Inputs:
    from entromask.glue.evaluation import check_tasks
    from entromask.masking.masker import check_tokenizer
    from entromask.modeling.architectures import build_model
    from entromask.modeling.references import load_masked_lm, model_source
    from entromask.text.corpus import open_corpus
    from entromask.text.packing import pack
    from entromask.text.tokenizer import load_tokenizer, open_tokenizer, same_tokenizer
    from entromask.training.batches import Batches

    check_tasks(spec.evaluation)
    references: dict[str, ModelReference] = {}
    if isinstance(spec.model.init, ModelReference):
        references["model.init"] = spec.model.init
    if spec.teacher is not None and spec.masking.source == "teacher":
        references["teacher"] = spec.teacher
    for reference in references.values():
        model_source(reference)
    corpus = open_corpus(spec.corpus)
    assert spec.tokenizer is not None, "a resolved spec has a tokenizer"
    with accelerator.main_process_first():
        tokenizer = open_tokenizer(spec.tokenizer, corpus)
    check_tokenizer(tokenizer)
    models: dict[str, SparseMaskedLM] = {}
    for name, reference in references.items():
        theirs = load_tokenizer(model_source(reference), reference.revision)
        difference = same_tokenizer(tokenizer, theirs)
        if difference is not None:
            raise InputError(
                f"{name} ({reference}) has another tokenizer than the run: {difference}",
                "leave `tokenizer` out of the spec to take over that of the model",
            )
        models[name] = _checked(load_masked_lm(reference), name, spec, len(tokenizer))

    def on_progress(done: int, total: int) -> None:
        folder.emit("progress", step=done, total=total)

    with accelerator.main_process_first():
        packed = pack(
            corpus,
            tokenizer,
            spec.pretraining.sequence_length,
            spec.corpus.max_tokens,
            on_progress,
        )
    # Refuses a batch that the corpus cannot fill.
    Batches(packed.train, spec.pretraining.batch_size, spec.seed, 0, accelerator.num_processes)
    model = models.get("model.init")
    if model is None:
        from entromask.modeling.masked_lm import SparseMaskedLM

        built = build_model(spec.model, tokenizer, spec.pretraining.sequence_length, spec.seed)
        model = SparseMaskedLM(built)
    facts = {
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "rows": {"train": len(packed.train), "validation": len(packed.validation)},
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    return _Inputs(tokenizer, packed, model, models.get("teacher"), facts)


def _checked(model: SparseMaskedLM, name: str, spec: RunSpec, types: int) -> SparseMaskedLM:
    """The model, if it can read this run's rows."""
    positions = getattr(model.config, "max_position_embeddings", None)
    length = spec.pretraining.sequence_length
    if model.config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= model.config.pad_token_id + 1
    if positions is not None and positions < length:
        raise InputError(
            f"{name} reads at most {positions} tokens, and pretraining.sequence_length is {length}",
            f"set pretraining.sequence_length to {positions} or less",
        )
    predicted = len(model.projection()[0])
    if predicted < types:
        raise InputError(
            f"{name} predicts {predicted} types, and its tokenizer has {types}",
            "resize its embeddings, or use the tokenizer that it was trained with",
        )
    return model


def _require_space(path: Path, inputs: _Inputs) -> None:
    from entromask.disk import require_space

    weights = 4 * inputs.facts["parameters"]
    # Four checkpoints with Adam's two moments (one is being written) and the model itself.
    require_space(path, 4 * 3 * weights + weights, "the run with its checkpoints")
    if inputs.teacher is not None:
        require_space(settings().cache, inputs.corpus.train.size, "the teacher's score store")


def _score(
    spec: RunSpec, folder: RunFolder, inputs: _Inputs, accelerator: Accelerator
) -> tuple[ScoreStore | None, dict[str, float]]:
    """The teacher's scores of every training row, computed once for a corpus."""
    if inputs.teacher is None:
        return None, {}
    from entromask.masking.scoring import open_teacher_scores

    folder.enter("scoring")
    teacher = inputs.teacher.to(accelerator.device)

    def on_progress(done: int, total: int) -> None:
        folder.emit("progress", step=done, total=total)

    with accelerator.main_process_first():
        store, cost = open_teacher_scores(
            teacher,
            inputs.corpus,
            inputs.tokenizer,
            view=str(spec.masking.view),
            device=accelerator.device,
            on_progress=on_progress,
        )
    inputs.teacher = None  # its memory is not needed any more
    return store, cost


def _pretrain(
    spec: RunSpec,
    folder: RunFolder,
    inputs: _Inputs,
    store: ScoreStore | None,
    accelerator: Accelerator,
    resume: bool,
    stop: StopRequest,
) -> Pretraining:
    from entromask.training.pretraining import Interrupted, Pretraining

    folder.enter("pretraining")
    loop = Pretraining(
        spec=spec,
        model=inputs.model.to(accelerator.device),
        tokenizer=inputs.tokenizer,
        corpus=inputs.corpus,
        store=store,
        accelerator=accelerator,
        folder=folder.checkpoints,
        emit=folder.emit,
        should_stop=lambda: stop.requested,
    )
    if resume and loop.resume():
        folder.emit("resumed", step=loop.progress.step, total=loop.schedule.total_steps)
    stop.can_wait = True
    try:
        loop.run()
    except Interrupted:
        raise KeyboardInterrupt from None
    finally:
        stop.can_wait = False
    if accelerator.is_main_process:
        loop.keep_last_and_best()
        _save_model(spec, folder.model, inputs.model, inputs.tokenizer)
    accelerator.wait_for_everyone()
    return loop


def _save_model(
    spec: RunSpec, path: Path, model: SparseMaskedLM, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Writes a plain Hugging Face folder, whole or not at all."""
    from entromask.analysis.model_card import model_card
    from entromask.modeling.architectures import save_pretrained

    building = path.with_name(".model.building")
    shutil.rmtree(building, ignore_errors=True)
    save_pretrained(model.model, tokenizer, building)
    (building / "README.md").write_text(model_card(spec), encoding="utf-8")
    shutil.rmtree(path, ignore_errors=True)
    building.rename(path)


def _evaluate(
    spec: RunSpec, folder: RunFolder, inputs: _Inputs, accelerator: Accelerator
) -> dict[str, dict[str, Any]]:
    if not spec.evaluation.tasks:
        return {}
    from entromask.glue.evaluation import evaluate
    from entromask.glue.floors import add_floors

    folder.enter("evaluating")

    def on_progress(done: int, total: int) -> None:
        folder.emit("progress", step=done, total=total)

    def on_result(task: str, seed: int | None, result: dict[str, Any]) -> None:
        where = task if seed is None else f"{task}, fine-tuning seed {seed}"
        folder.emit("result", message=where, metrics=result.get("metrics", {}))

    tasks = evaluate(
        folder.model,
        spec.evaluation,
        folder.evaluation,
        device=accelerator.device.type,
        on_progress=on_progress,
        on_result=on_result,
        on_message=lambda message: folder.emit("warning", message=message),
    )
    if spec.evaluation.floor:
        tasks = add_floors(
            tasks,
            folder.model,
            spec.evaluation,
            make_untrained=lambda path: _save_untrained(folder.model, inputs.tokenizer, path),
            device=accelerator.device.type,
            on_progress=on_progress,
        )
    return tasks


def _save_untrained(model: Path, tokenizer: PreTrainedTokenizerBase, path: Path) -> None:
    """The same architecture with fresh weights: what the tasks score without pretraining."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM

    from entromask.modeling.architectures import save_pretrained

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        untrained = AutoModelForMaskedLM.from_config(AutoConfig.from_pretrained(model))
    save_pretrained(untrained, tokenizer, path)


def _results(
    spec: RunSpec,
    inputs: _Inputs,
    loop: Pretraining,
    validation: dict[str, float],
    tasks: dict[str, dict[str, Any]],
    store: ScoreStore | None,
    scoring: dict[str, float],
) -> dict[str, Any]:
    from entromask.analysis.diagnostics import warnings_for
    from entromask.glue.evaluation import averages
    from entromask.masking.scoring import score_levels

    state = loop.progress
    tokens = state.step * spec.pretraining.batch_size * spec.pretraining.sequence_length
    names = inputs.tokenizer.convert_ids_to_tokens(list(range(len(inputs.tokenizer))))
    of_teacher = {}
    if store is not None:
        levels = score_levels(store, inputs.corpus.train, inputs.tokenizer)
        of_teacher["teacher_score_levels"] = levels
    data: dict[str, Any] = {
        "spec_hash": spec.spec_hash,
        "group_hash": spec.group_hash,
        "seed": spec.seed,
        "validation": validation,
        "tasks": tasks,
        "averages": averages(tasks),
        "diagnostics": {
            "plateau_exit_step": state.plateau_exit_step,
            "strategy_start_step": state.strategy_start_step,
            **loop.diagnostics.report(names),
            **of_teacher,
            "collapsed_tasks": [name for name, task in tasks.items() if task.get("collapsed")],
        },
        "cost": {
            "steps": state.step,
            "tokens": tokens,
            "masked_tokens": state.masked_tokens,
            "flops": state.flops,
            "seconds": state.seconds,
            "tokens_per_second": tokens / max(1e-9, state.seconds),
            **{f"scoring_{name}": value for name, value in scoring.items()},
        },
    }
    return data | {"warnings": warnings_for(data, spec)}


def _finished(folder: RunFolder) -> Results:
    import json

    return Results(folder.path, json.loads(folder.results.read_text(encoding="utf-8")))


@contextmanager
def _stop_on_signals() -> Iterator[StopRequest]:
    """SIGINT and SIGTERM become a StopRequest, in the main thread of a process."""
    stop = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""What a run is made from: corpus, tokenizer, models; opened and checked before it starts."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.compatibility import check_cache_is_read, check_top_k, uses_teacher
from entromask.errors import InputError
from entromask.processes import main_process_first
from entromask.run_folder import RunFolder
from entromask.settings import settings
from entromask.spec import LocalTokenizer, ModelReference, RunSpec, Tokenizer

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase

    from entromask.glue.data import TaskSummary
    from entromask.modeling.masked_lm import SparseMaskedLM
    from entromask.text.corpus import Corpus
    from entromask.text.packing import PackedCorpus


@dataclass
class Inputs:
    """What a run is made from, opened and checked before anything is written.

    `passing` are the models, by the spec's key, whose checkpoint may not stay. `warnings` are
    about what was read; they have been emitted.
    """

    tokenizer: PreTrainedTokenizerBase
    corpus: PackedCorpus
    model: SparseMaskedLM
    teacher: SparseMaskedLM | None
    facts: dict[str, Any]
    passing: dict[str, SparseMaskedLM] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def prepare(spec: RunSpec, folder: RunFolder, accelerator: Accelerator) -> Inputs:
    """Opens and checks all that a run is made from; packs the corpus if nobody has yet.

    Raises:
        InputError: the spec names something that cannot be used.
        DependencyMissingError: the spec names something on the Hub that cannot be had now.
    """
    from entromask.glue.evaluation import check_tasks
    from entromask.masking.masker import check_tokenizer, excluded_ids
    from entromask.modeling.architectures import build_model
    from entromask.modeling.masked_lm import SparseMaskedLM
    from entromask.modeling.references import load_masked_lm
    from entromask.modeling.sources import model_source
    from entromask.text.corpus import open_corpus
    from entromask.text.packing import pack
    from entromask.text.tokenizer import (
        describe_tokenizer,
        load_tokenizer,
        open_tokenizer,
        same_tokenizer,
        tokenizer_warnings,
    )
    from entromask.training.batches import Batches
    from entromask.training.schedule import Schedule

    tasks = check_tasks(spec.evaluation)
    references = _references(spec, folder)
    for reference in references.values():
        model_source(reference)
    corpus = open_corpus(spec.corpus)
    named = _tokenizer(spec, references)
    with main_process_first(accelerator):
        tokenizer = open_tokenizer(named, corpus)
    warnings = tokenizer_warnings(named, corpus)
    for warning in warnings:
        folder.emit("warning", message=warning)
    check_tokenizer(tokenizer)
    excluded_ids(spec.masking, tokenizer)
    if spec.distillation is not None:
        check_top_k(spec.distillation.top_k, len(tokenizer))
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

    with main_process_first(accelerator):
        packed = pack(
            corpus,
            tokenizer,
            spec.pretraining.sequence_length,
            spec.corpus.max_tokens,
            on_progress,
        )
    _show_text(folder, corpus, packed, tasks)
    # Refuses a batch that the corpus cannot fill.
    batches = Batches(
        packed.train, spec.pretraining.batch_size, spec.seed, 0, accelerator.num_processes
    )
    schedule = Schedule.of(spec.pretraining, len(packed.train))
    check_cache_is_read(spec, schedule.total_steps, batches.per_epoch)
    facts: dict[str, Any] = {}
    teacher = models.get("teacher")
    model = models.get("model.init")
    if model is None:
        # A teacher may know more types than its tokenizer, padded to a round number; whoever learns
        # its predictions or takes its weights needs as many.
        shares = teacher is not None and (spec.distillation or spec.model.init != "scratch")
        types = len(teacher.projection()[0]) if teacher is not None and shares else None
        length = spec.pretraining.sequence_length
        built = build_model(spec.model, tokenizer, length, spec.seed, types)
        init = spec.model.init
        if init == "teacher-complete" or init == "teacher-embeddings":
            assert teacher is not None, "a resolved spec has a teacher to start from"
            from entromask.modeling.initialization import initialize

            initialized = initialize(built, teacher.model, init)
            facts["initialized"] = {"from": init, **asdict(initialized)}
        model = SparseMaskedLM(built)
    facts |= {
        "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint},
        "rows": {"train": len(packed.train), "validation": len(packed.validation)},
        "tokenizer": describe_tokenizer(named, tokenizer),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    passing = {name: models[name] for name, one in references.items() if one.checkpoint is not None}
    return Inputs(tokenizer, packed, model, teacher, facts, passing, warnings)


def _show_text(
    folder: RunFolder, corpus: Corpus, packed: PackedCorpus, tasks: list[TaskSummary]
) -> None:
    """Shows how much text and how many rows were read, and what to know of them."""
    folder.emit("text", message=packed.text.summary())
    if corpus.left_out:
        folder.emit("text", message=f"not read, beside the corpus: {', '.join(corpus.left_out)}")
    for task in tasks:
        folder.emit("text", message=task.summary)
    for warning in (*packed.text.warnings(), *(one for task in tasks for one in task.warnings)):
        folder.emit("warning", message=warning)


def keep_passing(folder: RunFolder, inputs: Inputs) -> None:
    """Copies the models into the run that may be gone when it is continued.

    A run removes its older checkpoints while it trains.
    """
    from entromask.modeling.architectures import save_pretrained

    for name, model in inputs.passing.items():
        place = _kept(folder, name)
        building = place.with_name(f".{place.name}.building")
        shutil.rmtree(building, ignore_errors=True)
        save_pretrained(model.model, inputs.tokenizer, building)
        building.rename(place)


def _kept(folder: RunFolder, name: str) -> Path:
    return folder.path / "references" / name


def _references(spec: RunSpec, folder: RunFolder) -> dict[str, ModelReference]:
    """The models that a run needs, by key; what the run has kept comes before where it was."""
    references: dict[str, ModelReference] = {}
    if isinstance(spec.model.init, ModelReference):
        references["model.init"] = spec.model.init
    if spec.teacher is not None and uses_teacher(spec):
        references["teacher"] = spec.teacher
    return {
        name: ModelReference(path=str(_kept(folder, name)))
        if _kept(folder, name).is_dir()
        else reference
        for name, reference in references.items()
    }


def _tokenizer(spec: RunSpec, references: Mapping[str, ModelReference]) -> Tokenizer:
    """The spec's; of a checkpoint that has gone meanwhile, that of the copy."""
    tokenizer = spec.tokenizer
    assert tokenizer is not None, "a resolved spec has a tokenizer"
    if isinstance(tokenizer, LocalTokenizer) and not Path(tokenizer.path).expanduser().is_dir():
        for reference in references.values():
            if reference.path is not None and Path(reference.path).parent.name == "references":
                return LocalTokenizer(source="local", path=reference.path)
    return tokenizer


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


def require_space_for_run(path: Path, spec: RunSpec, inputs: Inputs) -> None:
    """Makes sure that a run's checkpoints, model and scores fit on the disk.

    Raises:
        DiskFullError: they do not.
    """
    from entromask.disk import require_space

    weights = 4 * inputs.facts["parameters"]
    size = inputs.corpus.train.size
    # Four checkpoints with Adam's two moments (one is being written) and the model itself.
    checkpoints = 3 * weights
    if spec.masking.source == "self" and spec.masking.refresh == "cached":
        checkpoints += size
    if spec.masking.source == "self-ema":
        checkpoints += weights
    require_space(path, 4 * checkpoints + weights, "the run with its checkpoints")
    if spec.masking.source == "teacher" and spec.masking.refresh == "cached":
        require_space(settings().cache, size, "the teacher's score store")

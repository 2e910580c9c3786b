"""What a run is made from: corpus, tokenizer, models; opened and checked before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.errors import InputError
from entromask.run_folder import RunFolder
from entromask.settings import settings
from entromask.spec import ModelReference, RunSpec

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedTokenizerBase

    from entromask.modeling.masked_lm import SparseMaskedLM
    from entromask.text.packing import PackedCorpus


@dataclass
class Inputs:
    """What a run is made from, opened and checked before anything is written."""

    tokenizer: PreTrainedTokenizerBase
    corpus: PackedCorpus
    model: SparseMaskedLM
    teacher: SparseMaskedLM | None
    facts: dict[str, Any]


def prepare(spec: RunSpec, folder: RunFolder, accelerator: Accelerator) -> Inputs:
    """Opens and checks all that a run is made from; packs the corpus if nobody has yet.

    Raises:
        InputError: the spec names something that cannot be used.
        DependencyMissingError: the spec names something on the Hub that cannot be had now.
    """
    from entromask.glue.evaluation import check_tasks
    from entromask.masking.masker import check_tokenizer
    from entromask.modeling.architectures import build_model
    from entromask.modeling.references import load_masked_lm
    from entromask.modeling.sources import model_source
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
    return Inputs(tokenizer, packed, model, models.get("teacher"), facts)


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


def require_space_for_run(path: Path, inputs: Inputs) -> None:
    """Makes sure that a run's checkpoints, model and scores fit on the disk.

    Raises:
        DiskFullError: they do not.
    """
    from entromask.disk import require_space

    weights = 4 * inputs.facts["parameters"]
    # Four checkpoints with Adam's two moments (one is being written) and the model itself.
    require_space(path, 4 * 3 * weights + weights, "the run with its checkpoints")
    if inputs.teacher is not None:
        require_space(settings().cache, inputs.corpus.train.size, "the teacher's score store")

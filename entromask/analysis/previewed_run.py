"""What a run brings to previews of its model: scores from its corpus and training, its progress."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.checkpoints import checkpoints
from entromask.errors import InputError
from entromask.spec import ModelReference, RunSpec, run_folder
from entromask.text.encoding import frame_ids

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from entromask.analysis.preview_scores import RowScore
    from entromask.masking.pmi import PMIScore
    from entromask.text.packing import PackedCorpus


def brought_scores(
    reference: ModelReference, tokenizer: PreTrainedTokenizerBase
) -> dict[str, RowScore]:
    """By name, the scores of `preview_scores.NEEDED` that the run of this model makes possible.

    frequency and pmi as long as the run's packed corpus is in the cache of this machine; amlm for
    a run that is trained with it: the weights of the checkpoint, or of the run's last one.

    Raises:
        InputError: the run's spec or checkpoint cannot be read.
    """
    if reference.run is None:
        return {}
    folder = run_folder(reference.run)
    spec = RunSpec.load(folder / "spec.yaml")
    scores: dict[str, RowScore] = {}
    if (corpus := _corpus(folder, spec, tokenizer)) is not None:
        scores |= _of_corpus(corpus, tokenizer)
    if spec.masking.resolved().score == "amlm":
        scores |= _of_training(folder, reference.checkpoint)
    return scores


def progress_of(reference: ModelReference) -> float:
    """The share of its run's budget that a checkpoint had behind it, from 0 to 1.

    0 for any other model, and where the run does not tell.

    Raises:
        InputError: the run's spec cannot be read.
    """
    from entromask.training.schedule import Schedule

    if reference.run is None or reference.checkpoint is None:
        return 0.0
    folder = run_folder(reference.run)
    state = _json(folder / "checkpoints" / f"step-{reference.checkpoint}" / "state.json")
    spec = RunSpec.load(folder / "spec.yaml")
    try:
        rows = int(_json(folder / "environment.json")["rows"]["train"])
        schedule = Schedule.of(spec.pretraining, rows)
        return schedule.fraction(reference.checkpoint, float(state["seconds"]))
    except (ValueError, KeyError, TypeError):
        return 0.0


def _corpus(folder: Path, spec: RunSpec, tokenizer: PreTrainedTokenizerBase) -> PackedCorpus | None:
    from entromask.text.packing import cached_corpus

    try:
        fingerprint = str(_json(folder / "environment.json")["corpus"]["fingerprint"])
    except (KeyError, TypeError):
        return None
    length, most = spec.pretraining.sequence_length, spec.corpus.max_tokens
    return cached_corpus(fingerprint, tokenizer, length, most)


def _of_corpus(corpus: PackedCorpus, tokenizer: PreTrainedTokenizerBase) -> dict[str, RowScore]:
    from entromask.masking.frequency import FrequencyScore
    from entromask.masking.pmi import PMIScore

    @cache  # pairs are counted when they are first asked for: that reads the whole corpus
    def pmi() -> PMIScore:
        special = frame_ids(tokenizer)
        return PMIScore.of_rows(corpus.train, corpus.counts, special)

    return {"frequency": FrequencyScore(corpus.counts), "pmi": lambda rows: pmi()(rows)}


def _of_training(folder: Path, checkpoint: int | None) -> dict[str, RowScore]:
    from safetensors import SafetensorError, safe_open

    from entromask.masking.accuracy import AccuracyWeights

    found = checkpoints(folder / "checkpoints")
    if checkpoint is not None:
        found = [folder / "checkpoints" / f"step-{checkpoint}"]
    if not found:
        return {}
    file = found[0] / "scores.safetensors"
    try:
        with safe_open(file, "pt") as tensors:
            weights: Tensor = tensors.get_tensor("weights")
    except FileNotFoundError:
        return {}
    except SafetensorError as error:
        raise InputError(
            f"{file} is damaged: {error}", "preview another checkpoint, or the run's model"
        ) from None
    score = AccuracyWeights(len(weights))
    score.weights = weights
    return {"amlm": lambda rows: score(rows.cpu()).to(rows.device)}


def _json(file: Path) -> Any:
    """The content of a file; an empty table where it is not there or not JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}

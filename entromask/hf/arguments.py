"""What the collator for the Trainer is given: checked, and models opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from entromask.compatibility import check_together
from entromask.errors import InputError
from entromask.masking.scoring import evaluating
from entromask.modeling.masked_lm import SparseMaskedLM, check_projection
from entromask.modeling.references import load_masked_lm
from entromask.modeling.sources import model_source
from entromask.spec import Masking, ModelReference, RunSpec
from entromask.text.tokenizer import load_tokenizer, same_tokenizer

Model: TypeAlias = "SparseMaskedLM | PreTrainedModel"
_WHAT = {
    "teacher": "a masked language model with this tokenizer, its folder or its name on the Hub",
    "scores": "with pmi = PMIScore.of_rows(rows, counts, special_ids) of entromask.masking.pmi: "
    "lambda rows, row_ids: pmi(rows)",
    "counts": "how often each token id occurs in the data set",
}


def check_arguments(masking: Masking, **given: Any) -> None:
    """Makes sure that a collator can mask so, has what that needs, and nothing without a use.

    Args:
        masking: resolved.
        given: `model`, `teacher`, `counts` and `scores`, or None.

    Raises:
        InputError: it cannot.
    """
    # Parts that fit in a spec with a teacher; whether one is given comes below.
    check_together(RunSpec(masking=masking, teacher=ModelReference(path="teacher")))
    name = masking.preset or masking.score
    _check_possible(masking, name)
    own = masking.source is None and masking.score != "uniform"
    asked = {
        "teacher": masking.source == "teacher",
        "model": masking.source == "self",
        "scores": masking.score in ("uniform", "pmi"),
    }
    for argument, uses in asked.items():
        if given[argument] is not None and not uses:
            raise InputError(
                f"{argument} is given, and the masking ({name}) takes no scores from it",
                f"leave {argument} out, or choose a masking that asks it",
            )
    needed = {
        "teacher": masking.source == "teacher",
        "scores": masking.score == "pmi",
        "counts": masking.score == "frequency" or own,
    }
    for argument, needs in needed.items():
        if needs and given[argument] is None:
            raise InputError(
                f"the masking ({name}) needs {argument}, and there is none",
                f"pass {argument}=, {_WHAT[argument]}",
            )
    if masking.warmup == "plateau" and given["counts"] is None:
        raise InputError(
            f"the masking ({name}) has warm-up 'plateau', which lasts until the loss is below the "
            "unigram loss, and there are no counts to tell that",
            f"pass counts=, {_WHAT['counts']}; or a share of the run, as in masking="
            '{"preset": "self-entropy-sample", "warmup": 0.1}',
        )


def _check_possible(masking: Masking, name: str | None) -> None:
    """Refuses what is made of every step's predictions, which no collator sees."""
    way_out = "use `entromask run`, or source self with refresh: fresh"
    if masking.score == "amlm":
        raise InputError(
            f"the masking ({name}) learns from the predictions of each step, which a collator "
            "does not see",
            way_out,
        )
    if masking.source == "self-ema":
        raise InputError(
            f"the masking ({name}) has source self-ema, an average that each step moves, which a "
            "collator does not keep",
            way_out,
        )
    if masking.source == "self" and masking.refresh == "cached":
        passes = "seven forward passes" if masking.view == "masked" else "one forward pass"
        raise InputError(
            f"the masking ({name}) has refresh 'cached', scores that each step leaves behind, "
            "which a collator does not see",
            f"add refresh: fresh ({passes} a batch), or use `entromask run`",
        )


def token_types(tokenizer: PreTrainedTokenizerBase) -> int:
    """V: token ids lie below it; ids may have gaps, so that it can exceed their number."""
    return max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=0))


def checked_counts(counts: NDArray[Any] | Tensor | Sequence[int], types: int) -> NDArray[np.int64]:
    """[V] int64.

    Raises:
        InputError: not one count for each of the types.
    """
    table = np.asarray(counts)
    if table.ndim != 1 or len(table) < types or (table < 0).any() or not table.any():
        raise InputError(
            f"counts of shape {table.shape} are not one count, 0 or more, for each of {types} "
            "token ids",
            f"numpy.bincount(ids, minlength={types}) counts the token ids of a data set",
        )
    return table.astype(np.int64)


def checked_model(model: Any, name: str, tokenizer: PreTrainedTokenizerBase) -> SparseMaskedLM:
    """The model, if it is one whose scores are right for this tokenizer's rows.

    Raises:
        InputError: it is not.
    """
    if not isinstance(model, SparseMaskedLM | PreTrainedModel):
        raise InputError(
            f"{name} is a {type(model).__name__}, not a masked language model of transformers",
            "give a model of AutoModelForMaskedLM",
        )
    sparse = model if isinstance(model, SparseMaskedLM) else SparseMaskedLM(model)
    predicted = len(sparse.projection()[0])
    if predicted < len(tokenizer):
        raise InputError(
            f"{name} predicts {predicted} types, and the tokenizer has {len(tokenizer)}",
            "resize its embeddings, or use the tokenizer that it was trained with",
        )
    with evaluating(sparse):  # leaves every module in the mode it was in
        check_projection(sparse)
    return sparse


def open_teacher(teacher: Any, tokenizer: PreTrainedTokenizerBase) -> SparseMaskedLM:
    """A teacher that is a model, or that a reference, a folder or a name on the Hub names.

    Raises:
        InputError: it cannot be used, or has another tokenizer.
        DependencyMissingError: on the Hub, and the Hub cannot be reached.
    """
    if not isinstance(teacher, ModelReference | Mapping | str | Path):
        return checked_model(teacher, "teacher", tokenizer)
    reference = _reference(teacher)
    theirs = load_tokenizer(model_source(reference), reference.revision)
    difference = same_tokenizer(tokenizer, theirs)
    if difference is not None:
        raise InputError(
            f"the teacher ({reference}) has another tokenizer than the collator: {difference}",
            "tokenize the data set with the teacher's tokenizer",
        )
    return checked_model(load_masked_lm(reference), "teacher", tokenizer)


def _reference(teacher: ModelReference | Mapping[str, Any] | str | Path) -> ModelReference:
    if isinstance(teacher, ModelReference):
        return teacher
    if isinstance(teacher, Mapping):
        reference = RunSpec.parse({"teacher": dict(teacher)}, "the collator").teacher
        assert reference is not None
        return reference
    if isinstance(teacher, Path) or Path(teacher).expanduser().is_dir():
        return ModelReference(path=str(teacher))
    return ModelReference(hub=teacher)

"""Which parts of a spec go together: what is refused, and what is allowed but worth knowing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from entromask.parts.data import TrainedTokenizer
from entromask.parts.masking import SCORES
from entromask.spec_errors import SpecError

if TYPE_CHECKING:
    from entromask.spec import RunSpec

_OF_MODELS: tuple[str | None, ...] = ("teacher", "self", "self-ema")
# Who can give each score.
_SOURCES: dict[str, tuple[str | None, ...]] = {
    "uniform": (None,),
    "frequency": ("corpus",),
    "pmi": ("corpus",),
    "amlm": ("self",),
    "entropy": _OF_MODELS,
    "surprisal": _OF_MODELS,
}
_A_TEACHER = "add teacher: {run: ID}, {path: DIR} or {hub: NAME}"


def check_together(spec: RunSpec) -> None:
    """Makes sure that the parts of a spec with every default written out fit together.

    Raises:
        SpecError: parts that do not fit; it names the key and the way out.
    """
    _check_masking(spec)
    _check_cache(spec)
    _check_distillation(spec)
    init = spec.model.init
    if isinstance(init, str) and init.startswith("teacher-") and spec.teacher is None:
        raise SpecError.at(
            ("model", "init"),
            f"model.init '{init}' needs a teacher, and teacher is null",
            _A_TEACHER,
        )


def advice(spec: RunSpec) -> Iterator[str]:
    """What is allowed in a resolved spec and still worth knowing, one sentence each."""
    masking = spec.masking
    if spec.teacher is not None and not uses_teacher(spec):
        yield (
            "teacher is given but not used: the masking takes no scores from it, and nothing is "
            "distilled or initialised from it"
        )
    if masking.refresh == "fresh":
        passes = (
            "seven more forward passes" if masking.view == "masked" else "one more forward pass"
        )
        way_out = "cached costs next to nothing"
        if masking.source == "teacher":
            yield f"fresh scores of the teacher take {passes} of it each step; {way_out}"
        elif masking.view == "masked":
            yield (
                f"fresh masked scores of the model itself take {passes} each step, so that a step "
                "costs about four times as much; refresh: cached takes them from what the "
                "training predicts anyway"
            )
        else:
            yield "fresh scores of the model itself take one more forward pass each step"
    epochs = spec.pretraining.budget.epochs
    if masking.source == "teacher" and masking.refresh == "cached" and (epochs or 1) < 1:
        yield (
            "less than one epoch: the teacher scores the whole corpus, and the run reads a part "
            "of it; refresh: fresh, or a smaller corpus.max_tokens, costs less"
        )
    distillation = spec.distillation
    if distillation is not None and distillation.refresh == "cached":
        yield (
            "stored predictions cost no forward pass of the teacher and teach less than fresh "
            "ones, since they are those behind another mask"
        )
    if distillation is not None and distillation.top_k and distillation.temperature > 1:
        yield (
            f"at temperature {distillation.temperature:g} most of a teacher's probability lies in "
            f"the tail beyond its {distillation.top_k} likeliest tokens, which is one bucket here; "
            "temperature: 1, or a larger top_k, keeps more of it"
        )
    if masking.score not in SCORES:
        yield f"the score '{masking.score}' comes from another package, and its results with it"


def uses_teacher(spec: RunSpec) -> bool:
    """Whether the run asks the teacher anything, now or at its start."""
    init = spec.model.init
    by_init = isinstance(init, str) and init.startswith("teacher-")
    return spec.masking.source == "teacher" or spec.distillation is not None or by_init


def check_cache_is_read(spec: RunSpec, steps: int | None, steps_of_an_epoch: int) -> None:
    """Makes sure that a cache of the model's own scores is read after it has been written.

    Args:
        steps: of the run; None where only the time is limited.

    Raises:
        SpecError: the run ends within its first epoch.
    """
    masking = spec.masking
    if masking.source != "self" or masking.refresh != "cached" or steps is None:
        return
    if steps <= steps_of_an_epoch:
        raise SpecError.at(
            ("masking", "refresh"),
            f"masking.refresh 'cached' with {steps:,} steps, and {steps_of_an_epoch:,} make an "
            "epoch: no position comes twice, so that its stored score is never read",
            "train for more than one epoch (a larger pretraining.budget, or a smaller "
            "corpus.max_tokens), or use refresh: fresh",
        )


def _check_masking(spec: RunSpec) -> None:
    masking = spec.masking
    fits = _SOURCES.get(str(masking.score), (None,))
    if masking.source not in fits:
        raise SpecError.at(
            ("masking", "source"),
            f"masking.source '{masking.source}' does not fit masking.score '{masking.score}'; "
            f"allowed: {', '.join('null' if one is None else one for one in fits)}",
            "`entromask strategies` lists the presets, which fit together",
        )
    if masking.source == "self-ema" and masking.refresh == "cached":
        raise SpecError.at(
            ("masking", "refresh"),
            "masking.refresh 'cached' does not fit masking.source 'self-ema': a step computes the "
            "predictions of the model itself, not those of its average",
            "use refresh: fresh, or source: self",
        )
    for key, source in (("refresh_share", "self"), ("ema_decay", "self-ema")):
        if getattr(masking, key) is not None and masking.source != source:
            raise SpecError.at(
                ("masking", key),
                f"masking.{key} does not fit masking.source '{masking.source}'; it belongs to "
                f"{source}",
                f"remove masking.{key}",
            )
    if masking.refresh_share is not None and (masking.view, masking.refresh) != (
        "visible",
        "cached",
    ):
        raise SpecError.at(
            ("masking", "refresh_share"),
            f"masking.refresh_share does not fit masking.view '{masking.view}' with "
            f"masking.refresh '{masking.refresh}'; it belongs to view visible with refresh cached",
            "remove masking.refresh_share: masked scores come from the masked positions alone",
        )
    if masking.source == "teacher" and spec.teacher is None:
        raise SpecError.at(
            ("teacher",),
            f"masking ({masking.preset or masking.score}) needs a teacher, and teacher is null",
            _A_TEACHER,
        )


def _check_cache(spec: RunSpec) -> None:
    masking, epochs = spec.masking, spec.pretraining.budget.epochs
    if masking.source == "self" and masking.refresh == "cached" and (epochs or 2) <= 1:
        raise SpecError.at(
            ("masking", "refresh"),
            f"masking.refresh 'cached' with {epochs:g} epochs: no position comes twice, so that "
            "its stored score is never read",
            "train for more than one epoch, or use refresh: fresh",
        )


def _check_distillation(spec: RunSpec) -> None:
    distillation = spec.distillation
    if distillation is None:
        return
    if spec.teacher is None:
        raise SpecError.at(
            ("teacher",), "distillation needs a teacher, and teacher is null", _A_TEACHER
        )
    if distillation.refresh == "cached" and distillation.positions == "all":
        raise SpecError.at(
            ("distillation", "positions"),
            "distillation.positions 'all' does not fit distillation.refresh 'cached': the stored "
            "predictions are those behind a mask",
            "use positions: masked, or refresh: fresh",
        )
    if isinstance(spec.tokenizer, TrainedTokenizer):
        check_top_k(distillation.top_k, spec.tokenizer.vocab_size)


def check_top_k(top_k: int | None, vocabulary: int) -> None:
    """Makes sure that a vocabulary has as many types as distillation keeps.

    Raises:
        SpecError: it has fewer.
    """
    if top_k is not None and top_k > vocabulary:
        raise SpecError.at(
            ("distillation", "top_k"),
            f"distillation.top_k {top_k:,} is larger than the vocabulary, {vocabulary:,}",
            "use a smaller top_k, or null for the whole distribution",
        )

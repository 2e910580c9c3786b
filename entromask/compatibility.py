"""Which parts of a spec go together, and what this version cannot do yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entromask.parts.masking import RateSchedule
from entromask.spec_errors import HINT, SpecError

if TYPE_CHECKING:
    from entromask.spec import RunSpec

# Values that the contract knows and a later version brings: (field, value) of a resolved spec.
_NOT_YET: tuple[tuple[str, Any], ...] = (
    ("model.init", "teacher-complete"),
    ("model.init", "teacher-embeddings"),
    ("masking.score", "surprisal"),
    ("masking.score", "pmi"),
    ("masking.score", "amlm"),
    ("masking.source", "self-ema"),
    ("masking.unit", "word"),
    ("masking.unit", "span"),
    ("evaluation.protocol", "search"),
    ("evaluation.protocol", "paper-cards"),
    ("evaluation.protocol", "frozen"),
)

# Who can give each score.
_SOURCES: dict[str, tuple[str | None, ...]] = {
    "uniform": (None,),
    "frequency": ("corpus",),
    "entropy": ("teacher", "self"),
}


def check_together(spec: RunSpec) -> None:
    """Makes sure that the parts of a spec with every default written out fit together.

    Raises:
        SpecError: parts that do not fit, or that are not available yet; it names the key.
    """
    for path, value in _NOT_YET:
        part, name = path.split(".")
        if getattr(getattr(spec, part), name) == value:
            raise SpecError.at((part, name), f"{path}: '{value}' is not available yet", HINT)
    if spec.distillation is not None:
        raise SpecError.at(("distillation",), "distillation is not available yet", "set it to null")
    _check_masking(spec)


def _check_masking(spec: RunSpec) -> None:
    masking = spec.masking
    if isinstance(masking.rate, RateSchedule):
        raise SpecError.at(
            ("masking", "rate"),
            f"masking.rate: a {masking.rate.schedule} schedule is not available yet",
            "give one number, such as 0.15",
        )
    fits = _SOURCES[str(masking.score)]
    if masking.source not in fits:
        raise SpecError.at(
            ("masking", "source"),
            f"masking.source '{masking.source}' does not fit masking.score '{masking.score}'; "
            f"allowed: {', '.join(map(str, fits))}",
            "`entromask strategies` lists the presets, which fit together",
        )
    if masking.source == "self" and (masking.view == "masked" or masking.refresh == "cached"):
        raise SpecError.at(
            ("masking", "view" if masking.view == "masked" else "refresh"),
            "masking.view 'masked' and masking.refresh 'cached' are not available yet for "
            "masking.source 'self'",
            "use view: visible and refresh: fresh, or a teacher",
        )
    if masking.source != "teacher":
        return
    if masking.refresh == "fresh":
        raise SpecError.at(
            ("masking", "refresh"),
            "masking.refresh 'fresh' is not available yet for masking.source 'teacher'",
            "use cached: a teacher's scores do not change",
        )
    if spec.teacher is None:
        raise SpecError.at(
            ("teacher",),
            f"masking ({masking.preset or masking.score}) needs a teacher, and teacher is null",
            "add teacher: {run: ID}, {path: DIR} or {hub: NAME}",
        )

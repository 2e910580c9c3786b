"""A method in words, as a paper's methods section has them."""

from __future__ import annotations

from entromask.spec import Distillation, Masking, RateSchedule, RunSpec

USUAL_RATE = 0.15
_UNITS = {"token": "tokens", "word": "whole words", "span": "spans of whole words"}
_WHO = {
    "teacher": "the teacher",
    "self": "the model in training",
    "self-ema": "an exponential moving average of the model in training",
}
_WHICH = {
    "top": "with the highest",
    "bottom": "with the lowest",
    "middle": "from the middle of each row's ranking by",
    "ends": "half with the highest and half with the lowest",
}


def method_words(spec: RunSpec) -> str:
    """The masking of a resolved spec, its distillation and its initialisation."""
    masking = spec.masking
    parts = [_selected(masking)]
    if (rate := _rate(masking)) is not None:
        parts.append(rate)
    if masking.explore:
        parts.append(f"{percent(masking.explore)} of them drawn uniformly")
    if masking.exclude_tokens:
        parts.append(f"never {' nor '.join(masking.exclude_tokens)}")
    if masking.warmup == "plateau":
        parts.append("after uniform masks until the unigram plateau was left")
    elif masking.warmup:
        parts.append(f"after uniform masks for {percent(float(masking.warmup))} of the steps")
    if spec.distillation is not None:
        parts.append(_distilled(spec.distillation))
    if spec.model.init == "teacher-complete":
        parts.append("initialised from evenly spaced layers of the teacher")
    elif spec.model.init == "teacher-embeddings":
        parts.append("initialised with the teacher's embeddings")
    return ", ".join(parts)


def _distilled(of: Distillation) -> str:
    how = [f"weight {of.weight:g}", f"temperature {of.temperature:g}"]
    if of.top_k is not None:
        how.append(f"its {of.top_k} highest probabilities and the sum of the others")
    if of.refresh == "cached":
        how.append("predicted once for each position of the corpus")
    where = "all positions" if of.positions == "all" else "the masked positions"
    return f"with distillation from the teacher at {where} ({', '.join(how)})"


def _selected(masking: Masking) -> str:
    unit = _UNITS[masking.unit or "token"]
    if masking.score == "uniform":
        return f"{unit} drawn uniformly"
    by = _score(masking)
    if masking.select == "sample":
        return f"{unit} sampled by {by} at temperature {masking.temperature:g}"
    return f"{unit} {_WHICH[masking.select or 'top']} {by}"


def _score(masking: Masking) -> str:
    if masking.score in ("entropy", "surprisal"):
        name = "predictive entropy" if masking.score == "entropy" else "surprisal"
        seen = "visible" if masking.view == "visible" else "masked"
        stored = masking.refresh == "cached" and masking.source != "teacher"
        return f"{name} under {_WHO[masking.source or 'self']} with the token {seen}" + (
            " (as last stored)" if stored else ""
        )
    return {
        "frequency": "rarity of the type in the corpus",
        "pmi": "pointwise mutual information with the neighbouring words",
        "amlm": "the model's error rate on the type",
    }.get(masking.score or "", f"the score {masking.score}")


def _rate(masking: Masking) -> str | None:
    rate = masking.rate
    if isinstance(rate, RateSchedule):
        return f"at a rate from {percent(rate.start)} to {percent(rate.end)} ({rate.schedule})"
    if rate is None or rate == USUAL_RATE:
        return None
    return f"at a rate of {percent(rate)}"


def percent(share: float) -> str:
    return f"{100 * share:.3g}%"

"""A run's spec without what the defaults say already: what a person would have written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entromask.errors import EntromaskError
from entromask.spec import Masking, RunSpec, TrainedTokenizer
from frontend.parts.submit.spec_text import Path, get, same, with_value

# The choices that matter are written out even where they are the defaults.
_SHOWN: tuple[Path, ...] = (
    ("name",),
    ("corpus", "source"),
    ("tokenizer", "source"),
    ("model", "architecture"),
    ("model", "size"),
    ("masking", "preset"),
    ("distillation", "weight"),
    ("pretraining", "budget"),
)
# What a new form begins with: a few minutes on a CPU, no file, no network.
START: dict[str, Any] = {
    "name": "random",
    "corpus": {"source": "builtin"},
    "model": {"architecture": "modernbert", "size": "tiny"},
    "masking": {"preset": "random"},
    "pretraining": {"budget": {"steps": 600}},
    "evaluation": {"tasks": ["demo-order", "demo-pair"]},
}


def shortened(full: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from the defaults in a resolved spec; it resolves to the same.

    A spec that this version does not understand comes back as it is.
    """
    try:
        spec = RunSpec.parse(dict(full))
    except EntromaskError:
        return dict(full)
    short = spec.model_dump(mode="json", exclude_defaults=True)
    for path in _SHOWN:
        value = _without_none(get(full, path))
        if value is not None:
            short = with_value(short, path, value)
    if isinstance(spec.tokenizer, TrainedTokenizer) and spec.tokenizer.strip_accents is None:
        # Only a whole spec means this by leaving the key out.
        short["tokenizer"] = {**short["tokenizer"], "strip_accents": None}
    for group in ("corpus", "tokenizer"):  # what kind it is comes first
        if "source" in short.get(group, {}):
            short[group] = {"source": short[group]["source"]} | short[group]
    short["masking"] = _short_masking(spec.masking)
    if not short["masking"]:
        del short["masking"]
    if _follows(short, full):
        short.pop("tokenizer", None)
    dropout = 0.0 if get(short, ("model", "architecture")) == "modernbert" else 0.1
    if get(short, ("model", "dropout")) == dropout:
        short = with_value(short, ("model", "dropout"), None)
    return {key: short[key] for key in RunSpec.model_fields if key in short}


def _short_masking(masking: Masking) -> dict[str, Any]:
    """The preset and the parts that it does not bring by itself."""
    given = masking.model_dump(mode="json", exclude_none=True)
    wanted = masking.resolved()
    for name in list(given):
        rest = {key: value for key, value in given.items() if key != name}
        if name != "preset" and Masking.model_validate(rest).resolved() == wanted:
            given = rest
    return given


def _follows(short: Mapping[str, Any], full: Mapping[str, Any]) -> bool:
    """Whether the tokenizer is the one that the spec would have without that key."""
    tokenizer = full.get("tokenizer")
    init = get(full, ("model", "init"))
    model = init if isinstance(init, Mapping) else full.get("teacher")
    if not isinstance(tokenizer, Mapping) or not isinstance(model, Mapping):
        return same(tokenizer, TrainedTokenizer().model_dump(mode="json"))
    if model.get("run") is not None:
        step = model.get("checkpoint")
        place = "model" if step is None else f"checkpoints/step-{step}"
        path = str(tokenizer.get("path") or "")
        return tokenizer.get("source") == "local" and path.endswith(f"{model['run']}/{place}")
    if model.get("path") is not None:
        return same(tokenizer, {"source": "local", "path": model["path"]})
    hub = {"source": "hub", "name": model.get("hub"), "revision": model.get("revision")}
    return same(tokenizer, hub)


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: inner for key, inner in value.items() if inner is not None}
    return value

"""Previews as the API sends them, of models that are not there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from entromask.resources import Model

MAX_ENTROPY = math.log(2048)


def a_model(number: int = 1, **changes: Any) -> Model:
    id_ = changes.pop("id", f"run_{number:024d}")
    given = {"id": id_, "name": f"model {number}", "reference": {"run": id_}}
    return Model.model_validate(given | {"created_at": 1.0 * number} | changes)


def a_preview(
    text: str,
    model: Mapping[str, Any],
    *,
    presets: Sequence[str] = (),
    rate: float | None = None,
    seed: int = 0,
    masked: Sequence[int] = (),
    progress: float | None = None,
) -> dict[str, Any]:
    """Words and signs as tokens. What is masked makes the others less sure by half a nat."""
    found = [(m.group().lower(), m.start(), m.end()) for m in re.finditer(r"\w+|[^\w\s]", text)]
    tokens = [_frame("[CLS]", 0, found[0][1])]
    for position, (token, start, end) in enumerate(found, 1):
        hidden = position in masked
        tokens.append(
            {
                "position": position,
                "window": 0,
                "id": position,
                "token": token,
                "start": start,
                "end": end,
                "special": False,
                "masked": hidden,
                "entropy": 6.0 if hidden else 1.0 + 0.5 * bool(masked),
                "entropy_masked": 6.0,
                "surprisal": math.log(4),
                "top": _guesses("the", token),
                "top_masked": _guesses("a", token),
            }
        )
    tokens.append(_frame("[SEP]", len(tokens), found[-1][2]))
    entries = [_preset(name, len(tokens), rate) for name in presets]
    able = [entry["preset"] for entry in entries if "error" not in entry]
    return {
        "object": "preview",
        "seed": seed,
        "progress": progress or 0.0,
        "max_entropy": MAX_ENTROPY,
        "tokens": tokens,
        "presets": entries,
        "agreement": {
            "presets": able,
            "overlap": [[1.0 if a == b else 0.25 for b in able] for a in able],
            "chance": [[0.15] * len(able) for _ in able],
        },
        "warnings": [],
    }


def _frame(token: str, position: int, place: int) -> dict[str, Any]:
    return {
        "position": position,
        "window": 0,
        "id": 0,
        "token": token,
        "start": place,
        "end": place,
        "special": True,
        "masked": False,
        "entropy": None,
        "entropy_masked": None,
        "surprisal": None,
        "top": [],
        "top_masked": [],
    }


def _guesses(*names: str) -> list[dict[str, Any]]:
    return [{"id": i, "token": name, "probability": 0.5**i} for i, name in enumerate(names, 1)]


def _preset(name: str, length: int, rate: float | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"preset": name, "description": f"About {name}."}
    if name == "frequency":
        return entry | {"error": "the preset 'frequency' needs how often each token occurs"}
    sampled = name.endswith("sample")
    return entry | {
        "rate": rate or 0.15,
        "select": "sample",
        "temperature": 3.0 if sampled else 1.0,
        "unit": "token",
        "positions": [1],
        "probabilities": [0.0, *[0.25] * (length - 2), 0.0],
        "method": "monte-carlo" if sampled else "exact",
        "standard_error": 0.0137 if sampled else 0.0,
    }

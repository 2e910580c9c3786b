"""What masking presets would hide: a row a preset, beside each other for several models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frontend.parts.colours import heat, scale
from frontend.parts.component import component
from frontend.parts.entropy.pieces import pieces
from frontend.parts.entropy.previews import Preview

_LEVELS = 256
_UNITS = {"word": "whole words", "span": "spans of words"}

_FILES = ("running_text.css", "mask_rows.css", "running_text.js", "mask_rows.js")
_component = component("mask_rows", *map(Path(__file__).with_name, _FILES))


def mask_rows(text: str, models: Sequence[tuple[str, Preview]]) -> None:
    """Shows the presets that the previews were asked for.

    Args:
        models: (label, preview) of each, all asked for the same presets.
    """
    names = [entry["preset"] for entry in models[0][1].presets]
    cells = [[_cell(preview.presets[row]) for _, preview in models] for row in range(len(names))]
    drawn = [cell for row in cells for cell in row if cell.get("sampled")]
    _component(
        key="mask_rows",
        data={
            "models": [_model(text, label, preview) for label, preview in models],
            "rows": [
                {
                    "preset": name,
                    "description": models[0][1].presets[row]["description"],
                    "cells": cells[row],
                }
                for row, name in enumerate(names)
            ],
            # One scale for all rows: equal colours are equal probabilities.
            "top": max((max(cell["probabilities"], default=0.0) for cell in drawn), default=0.0),
            "heat": [list(heat(level / (_LEVELS - 1))) for level in range(_LEVELS)],
            "gradient": scale(),
        },
    )


def _model(text: str, label: str, preview: Preview) -> dict[str, Any]:
    return {
        "label": label,
        "pieces": [list(piece) for piece in pieces(text, preview.tokens)],
        "special": [int(token.special) for token in preview.tokens],
        "token": [token.token for token in preview.tokens],
    }


def _cell(entry: Mapping[str, Any]) -> dict[str, Any]:
    if "error" in entry:
        return {"error": entry["error"]}
    return {
        "facts": facts(entry),
        "sampled": is_sampled(entry),
        "positions": entry["positions"],
        "probabilities": [round(share, 4) for share in entry["probabilities"]],
    }


def is_sampled(entry: Mapping[str, Any]) -> bool:
    """Whether chance decides which tokens are masked, so that each has a probability."""
    return any(0 < share < 1 for share in entry["probabilities"])


def facts(entry: Mapping[str, Any]) -> str:
    """How many tokens a preset masks, by which rate and in what units, and how sure that is."""
    count = len(entry["positions"])
    words = [f"{count:,} token{'' if count == 1 else 's'} masked"]
    # A rate on its way from one to another is not a whole percentage.
    words.append(f"rate {100 * entry['rate']:.3g} %")
    words += [_UNITS[entry["unit"]]] if entry["unit"] in _UNITS else []
    if entry["method"] != "exact":  # drawn by weights exp(score / T)
        words += [f"T = {entry['temperature']:g}"] if entry.get("temperature") else []
        words.append(f"probabilities ± {entry['standard_error']:.3f}")
    return " · ".join(words)

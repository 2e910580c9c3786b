"""The demonstration: three masking strategies, on text and tasks that need no network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from entromask.spec import RunSpec
from entromask.terminal import Reporter

# Large enough that every run leaves the unigram plateau, small enough for minutes on two cores.
SIZES: dict[str, Any] = {
    "max_tokens": 400_000,
    "vocab_size": 2048,
    "sequence_length": 64,
    "batch_size": 16,
    "steps": 1200,
    "learning_rate": 2e-3,
    "evaluate_every": 100,
    "fine_tuning_seeds": [0, 1],
}

# The random run is the teacher of the second.
PRESETS = ("random", "teacher-masked-entropy-sample", "self-entropy-sample")


def demo_specs(folder: Path) -> dict[str, RunSpec]:
    """The demo's runs by name, in their order; each lies in `folder` / name."""
    return {preset: _spec(preset, folder) for preset in PRESETS}


def _spec(preset: str, folder: Path) -> RunSpec:
    return RunSpec.parse(
        {
            "name": preset,
            "tags": ["demo"],
            "corpus": {"source": "builtin", "max_tokens": SIZES["max_tokens"]},
            "tokenizer": {"source": "train", "vocab_size": SIZES["vocab_size"]},
            "model": {"architecture": "modernbert", "size": "tiny"},
            "teacher": {"run": str(folder / "random")} if preset.startswith("teacher") else None,
            "masking": {"preset": preset},
            "pretraining": {
                "budget": {"steps": SIZES["steps"]},
                "batch_size": SIZES["batch_size"],
                "sequence_length": SIZES["sequence_length"],
                "learning_rate": SIZES["learning_rate"],
                "evaluate_every": SIZES["evaluate_every"],
            },
            "evaluation": {
                "tasks": ["demo-order", "demo-pair"],
                "seeds": SIZES["fine_tuning_seeds"],
            },
        },
        "the demo's spec",
    )


def run_demo(
    folder: Path, announce: Callable[[str], None], reporter: Callable[[], Reporter]
) -> list[Path]:
    """Runs the three one after another and returns their folders; what is finished is kept.

    Args:
        announce: told each run's name before it starts.
        reporter: makes what follows one run's events.

    Raises:
        EntromaskError: as `entromask.pipeline.run`.
    """
    from entromask import pipeline

    folders = []
    for name, spec in demo_specs(folder).items():
        announce(name)
        place = folder / name
        with reporter() as report:
            results = pipeline.run(spec, output=place, resume=place.exists(), on_event=report)
        folders.append(results.folder)
    return folders

"""No strategy silently falls back to random masks: each trains another model than they do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import entromask
from entromask.presets import MASKING_PRESETS
from tests.entromask.runs import small_spec, weights, write_corpus

OTHERS: dict[str, dict[str, Any]] = {
    "surprisal": {"preset": "teacher-masked-entropy-sample", "score": "surprisal"},
    "teacher-fresh": {"preset": "teacher-entropy-sample", "refresh": "fresh"},
    "self-ema": {"preset": "self-entropy-sample", "source": "self-ema"},
    "self-cached": {"preset": "self-entropy-sample", "refresh": "cached"},
    "self-masked-fresh": {"preset": "self-masked-entropy-high", "refresh": "fresh"},
}
MASKINGS = {name: {"preset": name} for name in MASKING_PRESETS} | OTHERS


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strategies")
    write_corpus(folder / "corpus.txt")
    return folder


def _run(place: Path, name: str, **parts: Any) -> Path:
    text = {"source": "local", "path": str(place / "corpus.txt"), "max_tokens": 2000}
    spec = small_spec(
        place / "corpus.txt", **({"corpus": text, "pretraining": _pretraining(place, 12)} | parts)
    )
    return entromask.run(spec, output=place / name, resume=True).folder


def _pretraining(place: Path, steps: int) -> dict[str, Any]:
    """Two epochs are 14 steps; nothing is looked at on the way."""
    rare = {"checkpoint_every": 1000, "evaluate_every": 1000}
    return small_spec(place)["pretraining"] | {"budget": {"steps": steps}} | rare


def _sure_teacher(place: Path) -> Path:
    """A teacher whose entropies differ: after thirty steps of training they hardly would."""
    folder = place / "teacher"
    if not folder.is_dir():
        shutil.copytree(_run(place, "random") / "model", folder)
        file = folder / "model.safetensors"
        noise = torch.Generator().manual_seed(0)
        wide = {
            name: 0.4 * torch.randn(t.shape, generator=noise) if t.dim() > 1 else t
            for name, t in load_file(file).items()
        }
        save_file(wide, file, metadata={"format": "pt"})
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MASKINGS if name != "random"])
def test_a_strategy_trains_another_model_than_random_masks(name: str, place: Path) -> None:
    random = _run(place, "random")
    teacher = None
    if MASKINGS[name]["preset"].startswith("teacher-"):
        teacher = {"path": str(_sure_teacher(place))}
    masking = MASKINGS[name] | {"warmup": 0.1}
    if "self" in MASKINGS[name]["preset"]:
        # After twelve steps a model's own entropies hardly differ; what differs counts in full.
        masking |= {"temperature": 0.02}
    # Weights of token types are renewed every 200 steps.
    steps = 210 if name in ("amlm", "time-variant") else 12
    pretraining = _pretraining(place, steps)
    if steps != 12:
        rate = {"rate": 0.15} if name == "amlm" else {}
        random = _run(
            place,
            "random-long",
            masking={"preset": "random", "warmup": 0.1},
            pretraining=pretraining,
        )
        masking |= rate
    run = _run(place, name, masking=masking, teacher=teacher, pretraining=pretraining)
    assert weights(run) != weights(random)

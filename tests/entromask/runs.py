"""A small run on real text, and the command line in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from entromask.text.builtin import builtin_documents

STEPS = 30


def write_corpus(path: Path, documents: int = 12) -> Path:
    """A few of the builtin documents as a local text file."""
    texts = [text for text, _ in zip(builtin_documents(), range(documents), strict=False)]
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return path


def small_spec(text: Path, /, **parts: Any) -> dict[str, Any]:
    """Thirty steps of a tiny model; `parts` replace whole top-level keys."""
    return {
        "name": "small",
        "corpus": {"source": "local", "path": str(text)},
        "tokenizer": {"source": "train", "vocab_size": 400},
        "model": {"architecture": "modernbert", "size": "tiny"},
        "masking": {"preset": "random"},
        "pretraining": {
            "budget": {"steps": STEPS},
            "batch_size": 8,
            "sequence_length": 32,
            "learning_rate": 2e-3,
            "checkpoint_every": 5,
            "evaluate_every": 10,
        },
    } | parts


def short_evaluation(folder: Path, /, **parts: Any) -> dict[str, Any]:
    """SST-2 with rows of a few words in `folder`, on which a fine-tuning takes seconds."""
    words = ["dull", "odd", "slow", "weak", "fine", "good", "great", "warm"]
    for split, count in (("train", 64), ("validation", 20)):
        rows = [
            {"idx": i, "sentence": f"{words[i % 8]} {words[3 * i % 8]}", "label": int(i % 8 > 3)}
            for i in range(count)
        ]
        file = folder / "sst2" / f"{split}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = {"local": str(folder)}
    return {"tasks": ["sst2"], "source": source, "seeds": [0], "floor": False} | parts


def command(spec: dict[str, Any], folder: Path, *options: str) -> list[str]:
    """The command line that runs `spec` into `folder`."""
    file = folder.parent / f"{folder.name}.yaml"
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    main = "from entromask.cli import main; main()"
    return [sys.executable, "-c", main, "run", str(file), "--output", str(folder), *options]


def execute(
    spec: dict[str, Any], folder: Path, *options: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(spec, folder, *options),
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
    )


def interrupt_at(
    spec: dict[str, Any], folder: Path, ready: Callable[[list[dict[str, Any]]], bool], number: int
) -> int:
    """Runs `spec` and sends the signal once `ready` says so of the events; the exit code."""
    process = subprocess.Popen(
        command(spec, folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while not ready(events(folder)):
        assert process.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline, "the run never got that far"
        time.sleep(0.002)
    process.send_signal(signal.Signals(number))
    return process.wait(timeout=60)


def events(folder: Path) -> list[dict[str, Any]]:
    """The whole events of a run that may still be writing them."""
    try:
        lines = (folder / "events.jsonl").read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()

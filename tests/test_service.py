"""The ways of a user through the whole service, as `entromask up` runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import entromask
from entromask.client import Client
from tests.entromask.runs import short_evaluation, small_spec, weights, write_corpus
from tests.up import Service

pytestmark = pytest.mark.slow


def command(service: Service, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "entromask", *words],
        capture_output=True,
        text=True,
        env=os.environ | service.environment,
        timeout=300,
    )


def spec_with_evaluation(text: Path) -> dict[str, Any]:
    evaluation = short_evaluation(text.parent / "glue", seeds=[0, 1])
    return small_spec(text, evaluation=evaluation)


def test_a_run_with_its_cells_is_what_the_command_run_makes(
    service: Service, tmp_path: Path
) -> None:
    spec = spec_with_evaluation(write_corpus(tmp_path / "text.txt"))
    file = tmp_path / "spec.yaml"
    file.write_text(yaml.safe_dump(spec), encoding="utf-8")
    done = command(service, "submit", str(file), "--follow")
    assert done.returncode == 0, done.stderr
    assert "sst2" in done.stdout
    with Client(service.url) as client:
        [run] = client.list_runs()
        assert run.status == "succeeded"
        results = client.results(run)
    direct = entromask.run(spec, output=tmp_path / "direct")
    assert weights(service.home / "runs" / run.id) == weights(direct.folder)
    for part in ("spec_hash", "validation", "tasks", "averages", "diagnostics"):
        assert results[part] == direct.data[part]
    assert run.scores["sst2"] == direct.data["tasks"]["sst2"]["score"]


def test_an_uploaded_corpus_a_run_on_it_and_a_look_into_its_masks(
    service: Service, tmp_path: Path
) -> None:
    text = write_corpus(tmp_path / "my words.txt")
    with Client(service.url) as client:
        corpus = client.upload_corpus(text, name="words")
        assert [found.id for found in client.corpora()] == [corpus.id]
        spec = small_spec(text, corpus={"source": "upload", "id": corpus.id})
        run = client.create_run(spec)
        assert client.wait(run, timeout=180).status == "succeeded"
        assert run.id in [model.reference.get("run") for model in client.models()]
        seen = client.preview(
            "A list is a mutable sequence.", {"run": run.id}, presets=["random"], rate=0.3
        )
        assert len(seen["presets"]) == 1
        assert seen["presets"][0]["positions"]
        files = client.download(run, "model", tmp_path / "down")
    assert weights(tmp_path / "down") == weights(service.home / "runs" / run.id)
    assert {file.name for file in files} >= {"config.json", "model.safetensors", "tokenizer.json"}
    shown = command(service, "preview", "A list.", "--model", run.id, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["tokens"]

"""`entromask prefetch` with the Hub's real clients and a Hub on this machine, then without one."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from entromask.cli import main
from entromask.text.builtin import builtin_documents
from tests.entromask.fake_hub import FakeHub
from tests.entromask.text.trained import train

pytestmark = pytest.mark.slow

# The second config's files are neither the first of the card nor all of the repository.
CARD = """---
configs:
- config_name: first
  data_files: [{split: train, path: a/train-*}]
- config_name: second
  data_files: [{split: train, path: b/train-*}, {split: test, path: b/test-*}]
---
"""
GLUE_CARD = """---
configs:
- config_name: rte
  data_files: [{split: train, path: rte/train-*}, {split: validation, path: rte/validation-*}]
---
"""
CORPUS = {"source": "hub", "name": "a/corpus", "config": "second", "column": "body"}

# Tells a corpus apart by its fingerprint and by every document.
DESCRIBE = """
import hashlib, json, sys
from entromask.spec import RunSpec
from entromask.text.corpus import open_corpus
corpus = open_corpus(RunSpec.parse({"corpus": json.loads(sys.argv[1])}).corpus)
texts = [[*corpus.documents(split)] for split in ("train", "validation")]
digest = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
print(json.dumps([corpus.fingerprint, digest, sum(map(len, texts))]))
"""


@dataclass
class Box:
    """A machine: its caches, and the Hub that it is told of."""

    folder: Path
    endpoint: str

    def __call__(
        self, program: str, *words: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if "_OFFLINE" not in k}
        own = {
            "HF_HOME": str(self.folder / "hf"),
            "ENTROMASK_HOME": str(self.folder / "home"),
            "HF_ENDPOINT": self.endpoint,
            "NO_PROXY": "127.0.0.1",
        }
        return subprocess.run(
            [sys.executable, "-c", program, *words],
            env=inherited | own | environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def entromask(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self("from entromask.cli import main; main()", *words, **environment)


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def make_repositories(root: Path) -> FakeHub:
    import torch
    from transformers import BertConfig, BertForMaskedLM

    texts = list(itertools.islice(builtin_documents(), 60))
    corpus, glue, model = root / "corpus", root / "glue", root / "model"
    lines(corpus / "a" / "train-0.jsonl", [{"body": "of the other config"}])
    lines(corpus / "b" / "train-0.jsonl", [{"body": text} for text in texts[:30]])
    lines(corpus / "b" / "train-1.jsonl", [{"body": text} for text in texts[30:]])
    lines(corpus / "b" / "test-0.jsonl", [{"body": "of the other split"}])
    (corpus / "README.md").write_text(CARD)
    for split in ("train", "validation"):
        pairs = [{"sentence1": f"a {i}", "sentence2": "b", "label": i % 2} for i in range(40)]
        lines(glue / "rte" / f"{split}-0.jsonl", pairs)
    (glue / "README.md").write_text(GLUE_CARD)
    tokenizer = train(texts, 300)
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = BertConfig(vocab_size=len(tokenizer), intermediate_size=32, **shape)
    BertForMaskedLM(config).save_pretrained(model)
    tokenizer.save_pretrained(model)
    return FakeHub(
        {
            ("datasets", "a/corpus"): corpus,
            ("datasets", "a/glue"): glue,
            ("models", "a/bert"): model,
        }
    )


@dataclass
class Brought:
    box: Box
    spec: Path
    hub: FakeHub
    streamed: list[Any]
    output: str


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Brought:
    """A box on which everything was prefetched; the Hub is gone since."""
    root = tmp_path_factory.mktemp("prefetch")
    hub = make_repositories(root / "repositories")
    spec = root / "spec.yaml"
    parts = {
        "corpus": CORPUS,
        "teacher": {"hub": "a/bert"},
        "masking": {"preset": "teacher-entropy-sample"},
        "model": {"architecture": "bert", "size": "tiny"},
        "pretraining": {"budget": {"steps": 2}, "batch_size": 4, "sequence_length": 32},
        "evaluation": {"tasks": ["rte"], "source": {"hub": "a/glue"}, "seeds": [0], "floor": False},
    }
    spec.write_text(json.dumps(parts))
    with hub.serving():
        box = Box(root / "box", hub.endpoint)
        done = box.entromask("prefetch", str(spec))
        assert done.returncode == 0, done.stderr
        streamed = Box(root / "other box", hub.endpoint)(DESCRIBE, json.dumps(CORPUS))
        assert streamed.returncode == 0, streamed.stderr
    return Brought(box, spec, hub, json.loads(streamed.stdout), done.stdout)


def test_everything_is_named_and_nothing_else_is_downloaded(brought: Brought) -> None:
    here = [line for line in brought.output.splitlines() if line.startswith("here: ")]
    assert here == [
        "here: the tokenizer 'a/bert'",
        "here: the model 'a/bert'",
        "here: the data set 'a/corpus', config 'second', split 'train'",
        "here: the task rte",
    ]
    got = {path for path in brought.hub.asked if path.startswith("GET /datasets/a/corpus/resolve")}
    assert {path.rpartition("/")[2] for path in got} == {
        "README.md",
        "train-0.jsonl",
        "train-1.jsonl",
    }


def test_the_whole_run_works_without_the_hub(brought: Brought, tmp_path: Path) -> None:
    words = ["run", str(brought.spec), "--output", str(tmp_path / "run"), "--quiet"]
    done = brought.box.entromask(*words, ENTROMASK_HUB="offline")
    assert done.returncode == 0, done.stderr
    recorded = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert recorded["corpus"]["fingerprint"] == brought.streamed[0]


@pytest.mark.parametrize("mode", ["offline", "auto"])
def test_the_copy_is_read_as_the_stream_is(brought: Brought, mode: str) -> None:
    done = brought.box(DESCRIBE, json.dumps(CORPUS), ENTROMASK_HUB=mode)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == brought.streamed
    assert brought.streamed[2] == 60


def test_what_is_here_needs_no_network_the_second_time(brought: Brought) -> None:
    done = brought.box.entromask("prefetch", str(brought.spec))
    assert (done.returncode, done.stdout) == (0, brought.output), done.stderr


def test_a_copy_with_a_file_missing_is_not_taken_for_the_whole(
    brought: Brought, tmp_path: Path
) -> None:
    shutil.copytree(brought.box.folder, tmp_path / "box", symlinks=True)
    box = Box(tmp_path / "box", brought.box.endpoint)
    (part,) = (box.folder / "hf" / "hub").glob("datasets--a--corpus/snapshots/*/b/train-1.jsonl")
    part.unlink()
    done = box.entromask("prefetch", str(brought.spec), ENTROMASK_HUB="offline")
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: the data set 'a/corpus' is not on this machine")
    assert hint.startswith("hint: ")


def test_a_data_set_that_changed_on_the_hub_is_brought_again(
    brought: Brought, tmp_path: Path
) -> None:
    shutil.copytree(brought.box.folder, tmp_path / "box", symlinks=True)
    hub = make_repositories(tmp_path / "repositories")
    lines(hub.repositories["datasets", "a/corpus"] / "b" / "train-2.jsonl", [{"body": "more"}] * 9)
    with hub.serving():
        box = Box(tmp_path / "box", hub.endpoint)
        changed = json.loads(box(DESCRIBE, json.dumps(CORPUS)).stdout)
        done = box.entromask("prefetch", str(brought.spec))
        assert done.returncode == 0, done.stderr
    assert changed[0] != brought.streamed[0]
    assert changed[2] == 69
    assert json.loads(box(DESCRIBE, json.dumps(CORPUS)).stdout) == changed


def test_without_a_network_the_first_missing_thing_is_named(
    brought: Brought, tmp_path: Path
) -> None:
    done = Box(tmp_path, brought.box.endpoint).entromask("prefetch", str(brought.spec))
    assert done.returncode == 2
    error, hint = done.stderr.splitlines()
    assert error.startswith("error: the tokenizer 'a/bert' is not on this machine, and the Hugging")
    assert "cannot be reached" in error
    assert hint.startswith("hint: ")
    assert done.stdout == ""


def test_a_split_that_is_not_there_is_named(brought: Brought, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(json.dumps({"corpus": CORPUS | {"split": "dev"}}))
    with brought.hub.serving():
        done = Box(tmp_path, brought.hub.endpoint).entromask("prefetch", str(spec))
    assert done.returncode == 2
    assert "split 'dev' cannot be opened" in done.stderr
    assert not [one for one in done.stdout.splitlines() if one.startswith("here: the data set")]


# The first documents of a corpus whose max_tokens is given, then what happens after them.
BEGINNING = """
import itertools, json, sys
from entromask.errors import InputError
from entromask.spec import RunSpec
from entromask.text.corpus import open_corpus
corpus = open_corpus(RunSpec.parse({"corpus": json.loads(sys.argv[1])}).corpus)
documents = corpus.documents("train")
print(json.dumps([corpus.fingerprint, *itertools.islice(documents, 20)]))
try:
    print(json.dumps(len(list(documents))))
except InputError as error:
    print(json.dumps(error.message))
"""


def test_with_max_tokens_only_the_beginning_is_brought_and_nothing_is_cut_off_silently(
    brought: Brought, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    limited = CORPUS | {"max_tokens": 200}
    spec.write_text(json.dumps({"corpus": limited}))
    # The margins for rows and tokenizers are far above the size of a test.
    small = "import entromask.text.local_copy as c; c.LEAST_WORDS = c.LEAST_CHARACTERS = 1; "
    with brought.hub.serving():
        box = Box(tmp_path / "box", brought.hub.endpoint)
        done = box(small + "from entromask.cli import main; main()", "prefetch", str(spec))
        assert done.returncode == 0, done.stderr
        other = Box(tmp_path / "other box", brought.hub.endpoint)
        streamed = other(BEGINNING, json.dumps(limited)).stdout.splitlines()
    files = (box.folder / "hf" / "hub").glob("datasets--a--corpus/snapshots/*/b/*")
    assert [file.name for file in files] == ["train-0.jsonl"]
    copied = box(BEGINNING, json.dumps(limited), ENTROMASK_HUB="offline").stdout.splitlines()
    assert copied[0] == streamed[0]
    assert json.loads(streamed[1]) > 20
    assert "that was prefetched is too short for this run" in copied[1]
    more = box(BEGINNING, json.dumps(CORPUS | {"max_tokens": 201}))
    assert "'a/corpus' is not on this machine" in more.stderr


def test_a_spec_that_names_nothing_on_the_hub_does_nothing(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text("{evaluation: {tasks: [rte]}}\n")
    overrides = ["--set", "evaluation.tasks=[demo-order]"]
    monkeypatch.setattr(sys, "argv", ["entromask", "prefetch", str(spec), *overrides])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert "names nothing on the Hugging Face Hub" in capsys.readouterr().out
    assert not home.exists()

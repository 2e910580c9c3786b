"""A pretraining loop on a few rows of the builtin text, ready for its first step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from entromask.modeling.architectures import build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import RunSpec
from entromask.text.corpus import open_corpus
from entromask.text.packing import PackedCorpus, pack
from entromask.text.tokenizer import open_tokenizer
from entromask.training.pretraining import Pretraining
from tests.entromask.runs import small_spec, write_corpus


def packed(folder: Path) -> tuple[PackedCorpus, Any]:
    """A small corpus, packed into rows of 32 tokens, and its tokenizer."""
    spec = RunSpec.parse(small_spec(write_corpus(folder / "corpus.txt", 6))).resolved()
    corpus = open_corpus(spec.corpus)
    assert spec.tokenizer is not None
    tokenizer = open_tokenizer(spec.tokenizer, corpus)
    return pack(corpus, tokenizer, 32, 40 * 32), tokenizer


def make_loop(folder: Path, masking: dict[str, Any], **parts: Any) -> Pretraining:
    """The loop of a tiny model; 40 rows, so that five steps of 8 rows are an epoch."""
    corpus, tokenizer = packed(folder)
    text = {"source": "local", "path": str(folder / "corpus.txt")}
    spec = RunSpec.parse(
        small_spec(folder / "corpus.txt", corpus=text, masking={"warmup": 0.0, **masking}, **parts)
    ).resolved()
    return Pretraining(
        spec=spec,
        model=SparseMaskedLM(build_model(spec.model, tokenizer, 32, spec.seed)),
        tokenizer=tokenizer,
        corpus=corpus,
        store=None,
        teacher=None,
        predictions=None,
        accelerator=Accelerator(cpu=True),
        folder=folder / "checkpoints",
        emit=lambda *_, **__: None,
        should_stop=lambda: False,
    )


def step(loop: Pretraining) -> None:
    loop.replica.train()
    loop.step(1e-3)
    loop.progress.step += 1

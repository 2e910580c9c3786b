"""A tiny model folder, and GLUE folders with a few rows."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from entromask.spec import BuiltinCorpus, Model, TrainedTokenizer

Rows = list[dict[str, Any]]
WORDS = [
    "the",
    "cat",
    "dog",
    "bird",
    "sees",
    "hears",
    "likes",
    "a",
    "big",
    "small",
    "red",
    "old",
    "house",
    "tree",
    "and",
]


def write_rows(file: Path, rows: Rows) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file.write_bytes(gzip.compress(text) if file.suffix == ".gz" else text)
    return file


def sentence(number: int, words: int = 6) -> str:
    return " ".join(WORDS[(number * 7 + place * (1 + number % 5)) % 15] for place in range(words))


def two_class_rows(count: int, columns: tuple[str, ...], classes: int = 2) -> Rows:
    """Rows whose label is given away by their first word."""
    return [
        {
            **{name: f"{WORDS[row % classes]} {sentence(row, 2 + row % 9)}" for name in columns},
            "label": row % classes,
            "idx": row,
        }
        for row in range(count)
    ]


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    from entromask.text.corpus import open_corpus
    from entromask.text.tokenizer import open_tokenizer

    return open_tokenizer(TrainedTokenizer(vocab_size=1000), open_corpus(BuiltinCorpus()))


@pytest.fixture(scope="session")
def make_folder(
    tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerBase
) -> Callable[..., Path]:
    from entromask.modeling.architectures import build_model, save_pretrained

    def make(architecture: str = "modernbert", length: int = 64, seed: int = 0) -> Path:
        folder = tmp_path_factory.mktemp("models") / f"{architecture}-{length}-{seed}"
        model = Model.model_validate({"architecture": architecture, "size": "tiny", "dropout": 0.1})
        save_pretrained(build_model(model, tokenizer, length, seed), tokenizer, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def model_dir(make_folder: Callable[..., Path]) -> Path:
    return make_folder()


@pytest.fixture(scope="session")
def glue_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """RTE, STS-B, MNLI, AX and BLiMP with a few rows each."""
    folder = tmp_path_factory.mktemp("glue")
    pair, hypothesis = ("sentence1", "sentence2"), ("premise", "hypothesis")
    write_rows(folder / "rte/train.jsonl", two_class_rows(48, pair))
    write_rows(folder / "rte/validation.jsonl.gz", two_class_rows(17, pair))
    for split, count in (("train", 48), ("validation", 12)):
        rows = [{**row, "label": row["idx"] % 6 * 0.9} for row in two_class_rows(count, pair)]
        write_rows(folder / f"stsb/{split}.jsonl", rows)
    for split, count in (
        ("train", 48),
        ("validation_matched", 12),
        ("validation_mismatched", 15),
    ):
        write_rows(folder / f"mnli/{split}.jsonl", two_class_rows(count, hypothesis, 3))
    write_rows(folder / "ax/test.jsonl", two_class_rows(9, hypothesis, 3))
    pairs = [
        {
            "sentence_good": f"the {sentence(row)} .",
            "sentence_bad": f"the {sentence(row + 1)} .",
            "field": "syntax",
            "linguistics_term": ("s-selection", "argument_structure", "binding")[row % 3],
            "UID": f"paradigm_{row % 3}",
            "pairID": str(row),
        }
        for row in range(18)
    ]
    write_rows(folder / "blimp/blimp.jsonl.gz", pairs)
    return folder

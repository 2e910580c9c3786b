from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from entromask.errors import DiskFullError, InputError
from entromask.masking import prediction_store as module
from entromask.masking.prediction_store import (
    PredictionStore,
    masked_top_k,
    open_teacher_predictions,
    predict_corpus,
)
from entromask.masking.scoring import GROUPS, hidden_groups
from entromask.modeling.masked_lm import SparseMaskedLM
from tests.entromask.masking.fill_predictions import (
    TOP_K,
    VOCABULARY,
    fill,
    open_store,
    predictions_of,
)
from tests.entromask.masking.tokenizers import CLS, MASK, SEP, word_tokenizer

ROWS, LENGTH, COMMIT = 3000, 32, 20
ROOT = Path(__file__).parents[3]
TOKENIZER = word_tokenizer(200)
TOKENS, WIDTH = 205, 24


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.entromask.masking.fill_predictions", str(folder)]
    numbers = [str(number) for number in (ROWS, LENGTH, COMMIT)]
    return subprocess.Popen([*command, *numbers], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("predictions.bin", "progress.json")}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("straight")
    fill(folder, ROWS, LENGTH, COMMIT)
    return folder


def check_rows(store: PredictionStore, row_ids: Tensor) -> None:
    where = torch.ones(len(row_ids), LENGTH, dtype=torch.bool)
    ids, probabilities = store.read(row_ids, where)
    expected = predictions_of(row_ids, LENGTH)
    assert torch.equal(ids, expected[0].flatten(0, 1))
    torch.testing.assert_close(probabilities, expected[1].flatten(0, 1), rtol=2**-11, atol=1e-7)


def test_predictions_come_back_in_row_major_order(straight: Path) -> None:
    store = open_store(straight, ROWS, LENGTH)
    assert store.complete
    row_ids = torch.tensor([2999, 0, 17, 17])
    check_rows(store, row_ids)
    where = torch.zeros(4, LENGTH, dtype=torch.bool)
    where[0, [3, 30]] = where[2, 5] = where[3, 0] = True
    ids, probabilities = store.read(row_ids, where)
    expected = predictions_of(row_ids, LENGTH)
    assert torch.equal(ids, expected[0][where])
    assert probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities, expected[1][where], rtol=2**-11, atol=1e-7)
    assert (straight / "predictions.bin").stat().st_size == ROWS * LENGTH * TOP_K * (2 + 2)


@pytest.mark.parametrize(("vocabulary", "size"), [(65536, 2), (65537, 4)])
def test_ids_take_as_many_bytes_as_the_vocabulary_needs(
    vocabulary: int, size: int, tmp_path: Path
) -> None:
    store = PredictionStore(tmp_path, {}, 1, 1, 1, vocabulary)
    with store.filling():
        store.append(torch.tensor([[[vocabulary - 1]]]), torch.tensor([[[0.5]]]))
    ids, _ = store.read(torch.tensor([0]), torch.ones(1, 1, dtype=torch.bool))
    assert ids.item() == vocabulary - 1
    assert (tmp_path / "predictions.bin").stat().st_size == size + 2


def test_rounding_never_makes_more_than_one_of_the_kept_probabilities(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(1, 5000, 8, generator=generator).pow(6)
    probabilities /= probabilities.sum(-1, keepdim=True)  # nothing is left for the tail
    rounded = probabilities.half().float().sum(-1)
    assert (rounded > 1).any()
    store = PredictionStore(tmp_path, {}, 1, 5000, 8, VOCABULARY)
    with store.filling():
        store.append(torch.arange(8).expand(1, 5000, 8), probabilities.sort(-1, True).values)
    _, read = store.read(torch.tensor([0]), torch.ones(1, 5000, dtype=torch.bool))
    assert read.sum(1).max() <= 1 + 1e-6
    expected = probabilities[0].sort(-1, True).values
    torch.testing.assert_close(read, expected, rtol=1.1e-3, atol=1e-7)
    # Where the sum is below 1 nothing is scaled: what is missing belongs to the tail.
    below = rounded[0] <= 1
    assert torch.equal(read[below], expected[below].half().float())


@pytest.mark.slow
@pytest.mark.faults
def test_killed_and_resumed_by_two_at_once_is_byte_identical(
    straight: Path, tmp_path: Path
) -> None:
    process = start(tmp_path)
    assert process.stdout is not None
    line = ""
    for _ in range(23):
        line = process.stdout.readline()
    process.send_signal(signal.SIGKILL)  # in the middle of the next commit
    process.communicate()
    assert process.returncode == -signal.SIGKILL, line
    store = open_store(tmp_path, ROWS, LENGTH)
    assert store.filled % COMMIT == 0
    assert int(line.split()[1]) <= store.filled < ROWS
    check_rows(store, torch.arange(store.filled))

    processes = [start(tmp_path) for _ in range(2)]
    outputs = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all(words[-1] == "complete" for words in outputs)
    commits = sum(words.count("filled") for words in outputs)
    assert commits == (ROWS - store.filled) // COMMIT
    assert contents(tmp_path) == contents(straight)


def damage_bytes(folder: Path) -> None:
    with (folder / "predictions.bin").open("r+b") as stream:
        stream.seek(1000)
        byte = stream.read(1)
        stream.seek(1000)
        stream.write(bytes([byte[0] ^ 1]))


def truncate(folder: Path) -> None:
    os.truncate(folder / "predictions.bin", 100)


def cut_progress(folder: Path) -> None:
    os.truncate(folder / "progress.json", 30)


@pytest.mark.parametrize("damage", [damage_bytes, truncate, cut_progress])
def test_damage_is_noticed_and_rebuilt(damage: Callable[[Path], None], tmp_path: Path) -> None:
    store = open_store(tmp_path, 100, LENGTH)
    with store.filling():
        store.append(*predictions_of(torch.arange(40), LENGTH))
    assert open_store(tmp_path, 100, LENGTH).filled == 40
    damage(tmp_path)
    assert open_store(tmp_path, 100, LENGTH).filled == 0
    fill(tmp_path, 100, LENGTH, COMMIT)
    check_rows(open_store(tmp_path, 100, LENGTH), torch.arange(100))


@pytest.mark.parametrize(
    ("identity", "length", "top_k", "vocabulary"),
    [
        ({"teacher": "other", "corpus": "c"}, LENGTH, TOP_K, VOCABULARY),
        ({"teacher": "t", "corpus": "c"}, LENGTH * TOP_K, 1, VOCABULARY),
        ({"teacher": "t", "corpus": "c"}, LENGTH, TOP_K, VOCABULARY + 1),
    ],
)
def test_a_store_of_something_else_is_not_taken(
    identity: dict[str, str], length: int, top_k: int, vocabulary: int, tmp_path: Path
) -> None:
    fill(tmp_path, 40, LENGTH, COMMIT)
    assert PredictionStore(tmp_path, identity, 40, length, top_k, vocabulary).filled == 0


def test_a_full_disk_is_named_before_anything_is_written(tmp_path: Path) -> None:
    store = PredictionStore(tmp_path / "store", {}, 10**9, 10**4, TOP_K, VOCABULARY)
    with pytest.raises(DiskFullError, match="predictions needs about"), store.filling():
        pass
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_probabilities_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    store = open_store(tmp_path, 10, LENGTH)
    ids, probabilities = predictions_of(torch.arange(2), LENGTH)
    probabilities[1, 3, 0] = value
    with store.filling():
        with pytest.raises(InputError, match="not finite, between rows 0 and 1"):
            store.append(ids, probabilities)
        assert store.filled == 0


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    store = open_store(tmp_path, 10, LENGTH)
    ids, probabilities = predictions_of(torch.arange(6), LENGTH)
    probabilities[2, 7] = 0
    with store.filling():
        store.append(ids[:5], probabilities[:5])
        with pytest.raises(ValueError, match="more rows"):
            store.append(ids, probabilities)
        with pytest.raises(ValueError, match=r"must be \[n, 32, 3\]"):
            store.append(ids[..., :2], probabilities[..., :2])
    where = torch.ones(2, LENGTH, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"rows 2\.\.5 were asked for; the store has 0\.\.4"):
        store.read(torch.tensor([2, 5]), where)
    with pytest.raises(ValueError, match="position 7 of row 2 was never predicted"):
        store.read(torch.tensor([1, 2]), where)
    nothing = store.read(torch.tensor([1, 2]), ~where)
    assert [part.shape for part in nothing] == [(0, TOP_K), (0, TOP_K)]


@pytest.fixture
def teacher() -> SparseMaskedLM:
    torch.manual_seed(0)
    plain = BertForMaskedLM(
        BertConfig(
            vocab_size=TOKENS,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            initializer_range=0.3,
        )
    )
    torch.nn.init.normal_(plain.cls.predictions.bias, std=0.5)
    return SparseMaskedLM(plain).train()


def some_rows(count: int) -> Tensor:
    rows = torch.randint(5, TOKENS, (count, WIDTH), generator=torch.Generator().manual_seed(1))
    rows[:, 0] = CLS
    rows[:, 11] = SEP
    return rows


def test_each_position_is_predicted_with_its_group_hidden(teacher: SparseMaskedLM) -> None:
    rows, row_ids = some_rows(3), torch.tensor([5, 900, 2**33])
    maskable = rows >= 5
    ids, probabilities = masked_top_k(teacher, MASK, rows, maskable, row_ids, 4, 2.0)
    assert teacher.training
    groups = hidden_groups(maskable, row_ids)
    teacher.eval()
    predicted = torch.zeros_like(rows)
    for group in range(GROUPS):
        here = groups == group
        with torch.no_grad():
            logits = teacher.model(input_ids=rows.masked_fill(here, MASK)).logits.double()
        expected = (logits / 2).softmax(-1).topk(4)
        assert torch.equal(ids[here], expected.indices[here])
        torch.testing.assert_close(
            probabilities[here].double(), expected.values[here], rtol=1e-4, atol=1e-6
        )
        predicted += here
    assert torch.equal(predicted, maskable.long())
    assert not probabilities[~maskable].any()
    assert not probabilities.is_inference()


@dataclass(frozen=True)
class Packed:
    train: NDArray[np.uint16]
    fingerprint: str


def packed(count: int, fingerprint: str = "corpus") -> Packed:
    return Packed(some_rows(count).numpy().astype(np.uint16), fingerprint)


def test_the_store_of_a_corpus_holds_what_the_teacher_predicts_and_resumes(
    teacher: SparseMaskedLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COMMIT_TOKENS", 4 * WIDTH)
    corpus = packed(10)
    progress: list[tuple[int, int]] = []

    def filled(name: str, stop_at: int | None = None) -> PredictionStore:
        def on_progress(done: int, total: int) -> None:
            progress.append((done, total))
            if done == stop_at:
                raise KeyboardInterrupt

        store = PredictionStore(tmp_path / name, {}, 10, WIDTH, 4, TOKENS)
        predict_corpus(
            teacher, corpus.train, TOKENIZER, 2.0, store, batch_size=2, on_progress=on_progress
        )
        return store

    straight = filled("straight")
    assert progress == [(4, 10), (8, 10), (10, 10)]
    rows, row_ids = some_rows(10), torch.arange(10)
    ids, probabilities = masked_top_k(teacher, MASK, rows, rows >= 5, row_ids, 4, 2.0)
    read = straight.read(row_ids, rows >= 5)
    assert torch.equal(read[0], ids[rows >= 5])
    torch.testing.assert_close(read[1], probabilities[rows >= 5], rtol=1e-3, atol=1e-6)
    assert straight.facts["flops"] > 0
    assert straight.facts["seconds"] > 0

    with pytest.raises(KeyboardInterrupt):
        filled("resumed", stop_at=4)
    resumed = filled("resumed")
    files = [tmp_path / name / "predictions.bin" for name in ("straight", "resumed")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert resumed.facts["flops"] == straight.facts["flops"]
    progress.clear()
    filled("resumed")
    assert progress == []


def test_two_that_start_together_ask_the_teacher_once(
    teacher: SparseMaskedLM, tmp_path: Path
) -> None:
    corpus, done = packed(8), list[int]()
    stores = [PredictionStore(tmp_path, {}, 8, WIDTH, 4, TOKENS) for _ in range(2)]

    def run(store: PredictionStore) -> None:
        predict_corpus(
            teacher,
            corpus.train,
            TOKENIZER,
            2.0,
            store,
            on_progress=lambda filled, total: done.append(filled),
        )

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [8]
    assert all(store.complete for store in stores)


def test_a_teacher_is_asked_once_for_a_corpus_k_and_temperature(
    teacher: SparseMaskedLM, home: Path
) -> None:
    asked: dict[str, Any] = {
        "teacher": teacher,
        "corpus": packed(4),
        "tokenizer": TOKENIZER,
        "top_k": 4,
        "temperature": 2,
    }
    done: list[int] = []

    def predictions(**changed: Any) -> tuple[PredictionStore, dict[str, float]]:
        return open_teacher_predictions(
            **asked | changed, on_progress=lambda filled, total: done.append(filled)
        )

    store, cost = predictions()
    assert store.complete
    assert store.folder.is_relative_to(home)
    assert store.folder.parent.name == "predictions"
    assert set(cost) == {"seconds", "flops"}
    assert done == [4]
    again, same_cost = predictions(temperature=2.0)
    assert done == [4]
    assert again.folder == store.folder
    assert same_cost == cost
    others = [
        {"temperature": 3.0},
        {"top_k": 5},
        {"corpus": replace(packed(4), fingerprint="another")},
    ]
    for count, changed in enumerate(others, start=2):
        assert predictions(**changed)[0].complete
        assert done == [4] * count
    with torch.no_grad():
        next(teacher.parameters()).add_(0.01)
    predictions()
    assert len(done) == 5
    with pytest.raises(InputError, match="top_k is 206, and the teacher's vocabulary has 205"):
        predictions(top_k=206)


@pytest.mark.gpu
def test_predictions_on_cuda_are_those_of_the_cpu(teacher: SparseMaskedLM) -> None:
    rows, row_ids = some_rows(3), torch.arange(3)
    on_cpu = masked_top_k(teacher, MASK, rows, rows >= 5, row_ids, 4, 2.0)
    on_cuda = masked_top_k(teacher.cuda(), MASK, rows, rows >= 5, row_ids, 4, 2.0)
    torch.testing.assert_close(on_cuda[1], on_cpu[1], rtol=1e-2, atol=1e-4)
    assert (on_cuda[0][..., 0] == on_cpu[0][..., 0]).double().mean() > 0.99

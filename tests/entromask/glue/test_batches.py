from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from entromask.glue.batches import encode_task, evaluation_batches, training_batches
from entromask.glue.data import load_task
from entromask.glue.fine_tuning import open_model_folder
from entromask.spec import TaskSource

LENGTHS = np.random.default_rng(0).integers(3, 100, 2000)


def test_an_epoch_has_every_row_once_and_batches_of_similar_length() -> None:
    batches = training_batches(LENGTHS, 16, seed=0, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(2000))
    assert {len(batch) for batch in batches} == {16}
    padded = sum(len(batch) * LENGTHS[batch].max() for batch in batches)
    assert padded < 1.05 * LENGTHS.sum()
    # The order of the batches tells nothing about their length.
    longest = [int(LENGTHS[batch].max()) for batch in batches]
    assert abs(np.corrcoef(np.arange(len(longest)), longest)[0, 1]) < 0.3


def test_batches_depend_on_seed_and_epoch_alone() -> None:
    def drawn(seed: int, epoch: int) -> list[list[int]]:
        return [batch.tolist() for batch in training_batches(LENGTHS, 16, seed, epoch)]

    assert drawn(0, 0) == drawn(0, 0)
    assert drawn(0, 0) != drawn(0, 1)
    assert drawn(0, 0) != drawn(1, 0)


def test_the_last_batch_may_be_smaller() -> None:
    batches = training_batches(LENGTHS[:21], 16, 0, 0)
    assert sorted(len(batch) for batch in batches) == [5, 16]


def test_evaluation_batches_cover_every_row_within_a_bound_of_tokens() -> None:
    batches = evaluation_batches(LENGTHS)
    assert sorted(np.concatenate(batches).tolist()) == list(range(2000))
    assert max(len(batch) * LENGTHS[batch].max() for batch in batches) <= 8192


def test_a_row_longer_than_the_bound_is_a_batch_of_its_own() -> None:
    assert [len(batch) for batch in evaluation_batches(np.array([9000, 9000]))] == [1, 1]


@pytest.mark.parametrize(
    ("architecture", "segments"),
    [("bert", True), ("electra", True), ("roberta", False), ("modernbert", False)],
)
def test_segments_are_given_only_to_models_that_take_them(
    make_folder: Callable[..., Path], glue_dir: Path, architecture: str, segments: bool
) -> None:
    config, tokenizer = open_model_folder(make_folder(architecture))
    data = load_task("rte", TaskSource(local=str(glue_dir)))
    rows = encode_task(data, tokenizer, config, 128)["validation"]
    batch = rows.batch(np.array([0, 8]))
    assert ("token_type_ids" in batch) == segments
    ids, attention = batch["input_ids"], batch["attention_mask"]
    assert ids.shape == attention.shape == (2, rows.lengths[[0, 8]].max())
    assert attention.sum(1).tolist() == rows.lengths[[0, 8]].tolist()
    assert (ids[attention == 0] == tokenizer.pad_token_id).all()
    first, second = (data.splits["validation"][name][8] for name in data.task.columns)
    expected = tokenizer(first, second)["input_ids"]
    assert ids[1, : len(expected)].tolist() == expected
    if segments:
        boundary = 1 + expected.index(tokenizer.sep_token_id)
        assert batch["token_type_ids"][1].tolist()[:boundary] == [0] * boundary
        assert set(batch["token_type_ids"][1].tolist()[boundary : len(expected)]) == {1}


# RoBERTa's folder has 14 positions, of which it uses those after padding_idx = 0.
@pytest.mark.parametrize(
    ("architecture", "positions"), [("bert", 12), ("distilbert", 12), ("roberta", 13)]
)
def test_rows_are_no_longer_than_the_learned_positions(
    make_folder: Callable[..., Path], glue_dir: Path, architecture: str, positions: int
) -> None:
    from transformers import AutoModel

    folder = make_folder(architecture, length=12)
    config, tokenizer = open_model_folder(folder)
    data = load_task("rte", TaskSource(local=str(glue_dir)))
    rows = encode_task(data, tokenizer, config, 128)["train"]
    assert int(rows.lengths.max()) == positions
    longest = rows.batch(np.array([int(rows.lengths.argmax())]))
    with torch.inference_mode():
        assert AutoModel.from_pretrained(folder)(**longest)[0].isfinite().all()


def test_rows_are_cut_at_the_protocol_s_length(model_dir: Path, glue_dir: Path) -> None:
    config, tokenizer = open_model_folder(model_dir)
    data = load_task("rte", TaskSource(local=str(glue_dir)))
    encoded = encode_task(data, tokenizer, config, 10, ["train"])
    assert set(encoded) == {"train"}
    assert int(encoded["train"].lengths.max()) == 10

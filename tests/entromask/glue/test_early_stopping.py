from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from entromask.glue.batches import EncodedSplit, encode_task
from entromask.glue.data import TaskData, load_task
from entromask.glue.early_stopping import EarlyStopping
from entromask.glue.fine_tuning import (
    load_classifier,
    open_model_folder,
    predict,
    score_classifier,
    train_classifier,
)
from entromask.glue.protocols import fine_tune
from entromask.presets import PROTOCOLS
from entromask.spec import TaskSource

from .conftest import two_class_rows, write_rows

CARDS = replace(
    PROTOCOLS["paper-cards"],
    epochs=30,
    batch_size=8,
    learning_rate=1e-3,
    max_length=32,
    patience=2,
)


@pytest.fixture
def overfitted(tmp_path: Path) -> TaskData:
    """A task whose validation labels are the opposite of what its training rows teach."""
    pair = ("sentence1", "sentence2")
    write_rows(tmp_path / "rte/train.jsonl", two_class_rows(48, pair))
    wrong = [{**row, "label": 1 - row["label"]} for row in two_class_rows(17, pair)]
    write_rows(tmp_path / "rte/validation.jsonl", wrong)
    return load_task("rte", TaskSource(local=str(tmp_path)))


def rows_of(data: TaskData, model_dir: Path) -> dict[str, EncodedSplit]:
    config, tokenizer = open_model_folder(model_dir)
    return encode_task(data, tokenizer, config, 32)


def test_it_waits_as_many_epochs_as_its_patience_and_brings_back_the_best(
    model_dir: Path, glue_dir: Path
) -> None:
    rows = rows_of(load_task("rte", TaskSource(local=str(glue_dir))), model_dir)["validation"]
    torch.manual_seed(0)
    model = load_classifier(model_dir, 2)
    stopping = EarlyStopping(rows, patience=2)

    def epoch(lean: float) -> bool:
        """Nine rows of seventeen are of class 0: the further the model leans, the worse it is."""
        with torch.no_grad():
            model.classifier.weight.zero_()
            model.classifier.bias.copy_(torch.tensor([lean, 0.0]))
        return stopping(model)

    assert [epoch(lean) for lean in (5.0, 6.0, 1.0, 2.0)] == [False] * 4
    assert epoch(1.5) is True
    stopping.restore(model)
    assert model.classifier.bias.tolist() == [1.0, 0.0]
    report = stopping.report()
    assert (report["epochs"], report["best_epoch"]) == (5, 3)
    logits = predict(model, rows)
    best = torch.nn.functional.cross_entropy(logits, rows.labels).item()
    assert min(report["losses"]) == report["losses"][2] == pytest.approx(best)


def test_a_loss_that_is_not_finite_is_no_best_and_no_number(
    model_dir: Path, glue_dir: Path
) -> None:
    rows = rows_of(load_task("rte", TaskSource(local=str(glue_dir))), model_dir)["validation"]
    model = load_classifier(model_dir, 2)
    stopping = EarlyStopping(rows, patience=1)
    stopping(model)
    whole = {name: values.clone() for name, values in model.state_dict().items()}
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    assert stopping(model) is True
    assert stopping.report()["losses"][1] is None
    stopping.restore(model)
    assert all(torch.equal(whole[name], values) for name, values in model.state_dict().items())


def test_a_training_whose_validation_loss_rises_ends_early_and_its_best_epoch_is_scored(
    model_dir: Path, overfitted: TaskData
) -> None:
    result = fine_tune(model_dir, overfitted, CARDS, 0)
    stopping = result["stopping"]
    best = stopping["best_epoch"]
    assert stopping["epochs"] == best + 2 < 30
    assert stopping["losses"][best - 1] == min(stopping["losses"])
    encoded = rows_of(overfitted, model_dir)
    epochs = 0

    def after(_: PreTrainedModel) -> bool:
        nonlocal epochs
        epochs += 1
        return epochs == int(best)

    model, _ = train_classifier(
        model_dir, overfitted.task, encoded["train"], CARDS, 0, ends_after=after
    )
    expected = score_classifier(model, overfitted, encoded)
    assert result["predictions"] == expected["predictions"]
    last = fine_tune(model_dir, overfitted, replace(CARDS, patience=None, epochs=30), 0)
    assert result["predictions"] != last["predictions"]
    assert "stopping" not in last


def test_a_training_whose_loss_falls_runs_to_its_end(model_dir: Path, glue_dir: Path) -> None:
    data = load_task("rte", TaskSource(local=str(glue_dir)))
    # Slow enough that no epoch overshoots, whatever the tokenizer makes of the rows.
    slow = replace(CARDS, epochs=4, learning_rate=2e-4)
    stopping = fine_tune(model_dir, data, slow, 0)["stopping"]
    assert stopping["losses"] == sorted(stopping["losses"], reverse=True)
    assert (stopping["epochs"], stopping["best_epoch"]) == (4, 4)

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from entromask.errors import InputError
from entromask.glue.batches import encode_task
from entromask.glue.data import load_task
from entromask.glue.fine_tuning import (
    freeze_encoder,
    linear_schedule,
    load_classifier,
    loss_of,
    make_optimizer,
    open_model_folder,
    predict,
    train_classifier,
)
from entromask.glue.metrics import score_predictions
from entromask.glue.protocols import fine_tune
from entromask.presets import PROTOCOLS
from entromask.spec import TaskSource

FAST = replace(PROTOCOLS["fixed"], epochs=2, min_steps=0, batch_size=8, learning_rate=1e-3)


@pytest.fixture
def source(glue_dir: Path) -> TaskSource:
    return TaskSource(local=str(glue_dir))


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "electra", "modernbert"])
def test_every_architecture_learns_a_task_that_one_word_gives_away(
    make_folder: Callable[..., Path], source: TaskSource, architecture: str
) -> None:
    result = fine_tune(
        make_folder(architecture), load_task("rte", source), replace(FAST, epochs=8), 0
    )
    assert result["score"] == result["metrics"]["accuracy"] == 1.0
    assert result["rows"] == 17


def test_twice_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    model_dir: Path, source: TaskSource
) -> None:
    data = load_task("rte", source)

    def bytes_of(seed: int) -> bytes:
        torch.manual_seed(seed + 12345)  # the caller's random state decides nothing
        return json.dumps(fine_tune(model_dir, data, FAST, seed)).encode()

    assert bytes_of(0) == bytes_of(0)
    assert bytes_of(0) != bytes_of(1)


def test_the_caller_s_random_state_is_untouched(model_dir: Path, source: TaskSource) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    fine_tune(model_dir, load_task("rte", source), FAST, 0)
    assert torch.equal(before, torch.get_rng_state())


def test_the_new_head_is_drawn_from_the_seed_and_the_encoder_is_kept(
    model_dir: Path, source: TaskSource
) -> None:
    data = load_task("rte", source)
    config, tokenizer = open_model_folder(model_dir)
    rows = encode_task(data, tokenizer, config, 128, ["train"])["train"]
    still = replace(FAST, learning_rate=0.0, max_steps=1)

    def trained(seed: int) -> dict[str, torch.Tensor]:
        return dict(train_classifier(model_dir, data.task, rows, still, seed).model.state_dict())

    first, again, other = trained(0), trained(0), trained(1)
    different = {name for name in first if not torch.equal(first[name], other[name])}
    assert different == {"classifier.weight"}
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta", "electra", "modernbert"])
def test_a_frozen_encoder_keeps_every_byte_and_the_head_is_trained(
    make_folder: Callable[..., Path], source: TaskSource, architecture: str
) -> None:
    folder, data = make_folder(architecture), load_task("rte", source)
    config, tokenizer = open_model_folder(folder)
    rows = encode_task(data, tokenizer, config, 128, ["train"])["train"]
    torch.manual_seed(5)
    before = load_classifier(folder, 2).state_dict()
    frozen = replace(FAST, frozen_encoder=True)
    model, _ = train_classifier(folder, data.task, rows, frozen, 5)
    after = model.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    encoder = {name for name in before if name.startswith(f"{model.base_model_prefix}.")}
    pooler = {name for name in encoder if ".pooler." in name}
    assert same == encoder - pooler
    assert len(pooler) == (2 if architecture == "bert" else 0)


def test_a_frozen_encoder_takes_no_backward_pass(
    make_folder: Callable[..., Path], source: TaskSource
) -> None:
    folder, data = make_folder("bert"), load_task("rte", source)
    config, tokenizer = open_model_folder(folder)
    rows = encode_task(data, tokenizer, config, 128, ["train"])["train"]
    model = load_classifier(folder, 2)
    inputs = rows.batch(torch.arange(4).numpy())
    assert model.base_model(**inputs).last_hidden_state.requires_grad
    freeze_encoder(model)
    assert not model.base_model(**inputs).last_hidden_state.requires_grad
    assert model(**inputs).logits.requires_grad
    optimized = [
        p
        for group in make_optimizer(model, 1e-3, FAST.weight_decay).param_groups
        for p in group["params"]
    ]
    assert {id(p) for p in optimized} == {id(p) for p in model.parameters() if p.requires_grad}


@pytest.mark.parametrize("frozen", [False, True])
def test_dropout_is_on_in_every_epoch_and_off_in_a_frozen_encoder(
    model_dir: Path, source: TaskSource, frozen: bool
) -> None:
    data = load_task("rte", source)
    config, tokenizer = open_model_folder(model_dir)
    rows = encode_task(data, tokenizer, config, 128, ["train"])["train"]
    modes: list[tuple[bool, bool]] = []

    def look(model: PreTrainedModel) -> bool:
        modes.append((model.training, model.base_model.training))
        model.eval()
        return False

    protocol = replace(FAST, frozen_encoder=frozen)
    train_classifier(model_dir, data.task, rows, protocol, 0, ends_after=look)
    assert modes == [(True, not frozen)] * 2


def test_a_training_ends_after_the_epoch_that_it_is_told(
    model_dir: Path, source: TaskSource
) -> None:
    data = load_task("rte", source)
    config, tokenizer = open_model_folder(model_dir)
    rows = encode_task(data, tokenizer, config, 128, ["train"])["train"]
    steps: list[int] = []
    train_classifier(
        model_dir,
        data.task,
        rows,
        replace(FAST, epochs=5),
        0,
        on_progress=lambda done, _: steps.append(done),
        ends_after=lambda _: len(steps) >= 12,
    )
    assert steps == list(range(1, 13))


def test_a_regression_predicts_numbers(model_dir: Path, source: TaskSource) -> None:
    data = load_task("stsb", source)
    result = fine_tune(model_dir, data, FAST, 0)
    assert set(result["metrics"]) == {"pearson", "spearmanr"}
    assert result["score"] == pytest.approx(sum(result["metrics"].values()) / 2)
    assert all(isinstance(value, float) for value in result["predictions"]["validation"])


def test_mnli_is_scored_on_both_splits(model_dir: Path, source: TaskSource) -> None:
    data = load_task("mnli", source)
    result = fine_tune(model_dir, data, FAST, 0)
    metrics = result["metrics"]
    assert set(metrics) == {"accuracy_matched", "accuracy_mismatched"}
    assert result["score"] == pytest.approx(sum(metrics.values()) / 2)
    for split in data.task.evaluation:
        logits = torch.tensor(result["predictions"][split])
        own = score_predictions("mnli", logits.argmax(-1).tolist(), data.references(split))
        assert own["accuracy"] == metrics[f"accuracy_{split.removeprefix('validation_')}"]


def test_predictions_do_not_depend_on_the_batch(model_dir: Path, source: TaskSource) -> None:
    config, tokenizer = open_model_folder(model_dir)
    data = load_task("rte", source)
    rows = encode_task(data, tokenizer, config, 128)["validation"]
    torch.manual_seed(0)
    model = load_classifier(model_dir, 2)
    together = predict(model, rows)
    alone = []
    texts = (data.splits["validation"][column] for column in data.task.columns)
    for first, second in zip(*texts, strict=True):
        inputs = tokenizer(first, second, return_tensors="pt", return_token_type_ids=False)
        with torch.inference_mode():
            alone.append(model(**inputs).logits[0])
    torch.testing.assert_close(together, torch.stack(alone), rtol=1e-4, atol=1e-5)


def test_progress_ends_at_the_last_step_and_max_steps_bounds_it(
    model_dir: Path, source: TaskSource
) -> None:
    def steps(max_steps: int | None) -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        data = load_task("rte", source)
        config, tokenizer = open_model_folder(model_dir)
        rows = encode_task(data, tokenizer, config, 128)["train"]
        protocol = replace(FAST, max_steps=max_steps)
        train_classifier(
            model_dir, data.task, rows, protocol, 0, on_progress=lambda *s: seen.append(s)
        )
        return seen

    assert steps(None) == [(step, 12) for step in range(1, 13)]
    assert steps(5)[-1] == (5, 5)


def test_the_learning_rate_rises_over_the_warmup_and_falls_to_zero() -> None:
    factor = linear_schedule(replace(FAST, warmup=0.1), 100)
    factors = [factor(step) for step in range(101)]
    assert factors[:11] == sorted(factors[:11])
    assert factors[0] > 0
    assert factors[10] == max(factors) == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == 0
    assert linear_schedule(replace(FAST, warmup=0.0), 1)(0) == 1


def test_biases_and_norms_do_not_decay(model_dir: Path) -> None:
    model = load_classifier(model_dir, 2)
    groups = make_optimizer(model, 1e-3, FAST.weight_decay).param_groups
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        expected = 0.0 if "norm" in name or name.endswith("bias") else FAST.weight_decay
        assert decay[id(parameter)] == expected, name


def test_the_loss_of_a_regression_is_the_mean_squared_error() -> None:
    logits, labels = torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 0.0])
    assert loss_of(logits, labels).item() == 5.0
    even = torch.zeros(2, 2)
    assert loss_of(even, torch.tensor([0, 1])).item() == pytest.approx(0.6931472)


def test_loading_says_nothing(
    model_dir: Path, source: TaskSource, capfd: pytest.CaptureFixture[str]
) -> None:
    fine_tune(model_dir, load_task("rte", source), replace(FAST, max_steps=1), 0)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("removed", "words"),
    [("config.json", "holds no config.json"), ("tokenizer.json", "no tokenizer")],
)
def test_an_incomplete_model_folder_is_refused(
    make_folder: Callable[..., Path], tmp_path: Path, removed: str, words: str
) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(make_folder("bert"), folder)
    (folder / removed).unlink()
    with pytest.raises(InputError, match=words) as caught:
        open_model_folder(folder)
    assert caught.value.hint


@pytest.mark.gpu
def test_on_a_gpu_the_task_is_learned_alike(model_dir: Path, source: TaskSource) -> None:
    data = load_task("rte", source)
    assert fine_tune(model_dir, data, replace(FAST, epochs=8), 0, "cuda")["score"] == 1.0

"""Where a reference leads: above all to the checkpoints of a run, finished or not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from entromask.checkpoints import checkpoints
from entromask.errors import InputError
from entromask.modeling.architectures import (
    ARCHITECTURES,
    build_model,
    save_pretrained,
    save_without_weights,
)
from entromask.modeling.masked_lm import SparseMaskedLM, model_tensors
from entromask.modeling.references import load_masked_lm
from entromask.modeling.sources import model_source, said_when_gone
from entromask.spec import ModelReference, RunSpec
from entromask.training.checkpoint import prune, save_checkpoint
from tests.entromask.words import word_tokenizer

TOKENIZER = word_tokenizer()


def build(architecture: str = "bert", seed: int = 0) -> PreTrainedModel:
    data = {"model": {"architecture": architecture, "size": "tiny"}}
    return build_model(RunSpec.parse(data).resolved().model, TOKENIZER, 32, seed)


def save(run: Path, step: int, model: PreTrainedModel) -> Path:
    """A checkpoint as the training writes it."""
    run.mkdir(exist_ok=True)
    (run / "spec.yaml").write_text("name: a\n")
    tensors = {
        "model": model_tensors(SparseMaskedLM(model)),
        "optimizer": {"0.exp_avg": torch.zeros(1000)},
    }
    return save_checkpoint(
        run / "checkpoints",
        step,
        tensors,
        {"step": step},
        lambda place: save_without_weights(model, TOKENIZER, place),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """An unfinished run with the checkpoints 5 and 10."""
    for step in (5, 10):
        save(tmp_path / "run", step, build(seed=step))
    return tmp_path / "run"


def at(run: Path, step: int | None = None) -> ModelReference:
    return ModelReference(run=str(run), checkpoint=step)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_is_the_model_that_was_saved_and_a_plain_folder(
    architecture: str, tmp_path: Path
) -> None:
    model = build(architecture)
    folder = save(tmp_path / "run", 5, model)
    plain = AutoModelForMaskedLM.from_pretrained(folder)
    for loaded in (load_masked_lm(at(tmp_path / "run", 5)).model, plain):
        assert type(loaded) is type(model)
        theirs = loaded.state_dict()
        assert theirs.keys() == model.state_dict().keys()
        for name, tensor in model.state_dict().items():
            assert torch.equal(theirs[name], tensor), name
    save_pretrained(model, TOKENIZER, tmp_path / "model")
    for file in (tmp_path / "model").iterdir():
        if file.name != "model.safetensors":  # tied weights may be left out under another name
            assert (folder / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_run_without_a_model_tells_which_checkpoints_it_has(run: Path) -> None:
    with pytest.raises(InputError, match=r"no finished model; it has checkpoints at steps 5, 10$"):
        model_source(at(run))
    prune(run / "checkpoints", {10})
    with pytest.raises(InputError, match=r"no finished model; it has checkpoints at step 10$"):
        model_source(at(run))
    prune(run / "checkpoints", set())
    with pytest.raises(InputError, match=r"no finished model$"):
        model_source(at(run))


def test_a_checkpoint_that_is_not_there_is_refused_with_those_that_are(run: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at step 7; it has those at steps 5, 10$"):
        model_source(at(run, 7))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(InputError, match=r"no checkpoint at step 7; it has none$"):
        model_source(at(run, 7))
    with pytest.raises(InputError, match="no run 'nothing'"):
        model_source(ModelReference(run="nothing", checkpoint=7))


def test_a_checkpoint_of_an_earlier_version_is_refused_by_name(run: Path) -> None:
    (run / "checkpoints" / "step-5" / "config.json").unlink()
    with pytest.raises(InputError, match=r"step 5 .* an earlier version"):
        model_source(at(run, 5))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_checkpoint_is_not_loaded(run: Path, name: str) -> None:
    file = run / "checkpoints" / "step-5" / name
    content = bytearray(file.read_bytes())
    content[-2] ^= 0x01
    file.write_bytes(content)
    with pytest.raises(InputError, match=f"step-5/{name} is damaged"):
        load_masked_lm(at(run, 5))
    load_masked_lm(at(run, 10))


def test_what_only_the_training_reads_is_not_looked_at(run: Path) -> None:
    (run / "checkpoints" / "step-5" / "optimizer.safetensors").unlink()
    load_masked_lm(at(run, 5))


def test_a_model_that_goes_while_it_is_read_is_said_to_be_gone(run: Path) -> None:
    gone = "no checkpoint at step 10; it has those at step 5"
    with pytest.raises(InputError, match=gone), said_when_gone(at(run, 10)):
        read_while_pruned(run / "checkpoints")
    with pytest.raises(OSError, match="something else"), said_when_gone(at(run, 5)):
        raise OSError("something else")


def read_while_pruned(folder: Path) -> None:
    latest = checkpoints(folder)[0] / "config.json"
    prune(folder, {5})
    latest.read_bytes()

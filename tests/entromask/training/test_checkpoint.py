from __future__ import annotations

from pathlib import Path

import pytest
import torch

from entromask.checkpoints import checkpoints, step_of, verify
from entromask.training import checkpoint
from entromask.training.checkpoint import (
    load_checkpoint,
    load_latest,
    load_optimizer,
    optimizer_tensors,
    prune,
    save_checkpoint,
)


def _save(folder: Path, step: int) -> Path:
    return save_checkpoint(folder, step, {"model": {"w": torch.full((3,), step)}}, {"step": step})


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    tensors = {"model": {"w": torch.randn(4, 5)}, "optimizer": {"0.step": torch.tensor(7.0)}}
    saved = save_checkpoint(tmp_path, 12, tensors, {"loss": 1.5, "none": None})
    loaded, state = load_checkpoint(saved)
    assert torch.equal(loaded["model"]["w"], tensors["model"]["w"])
    assert torch.equal(loaded["optimizer"]["0.step"], torch.tensor(7.0))
    assert state == {"loss": 1.5, "none": None}


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("how", ["flip", "truncate", "remove"])
def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path, name: str, how: str) -> None:
    _save(tmp_path, 1)
    damaged = _save(tmp_path, 2) / name
    content = bytearray(damaged.read_bytes())
    if how == "remove":
        damaged.unlink()
    elif how == "truncate":
        damaged.write_bytes(content[: len(content) // 2])
    else:
        content[-2] ^= 0xFF
        damaged.write_bytes(content)
    heard: list[str] = []
    loaded = load_latest(tmp_path, heard.append)
    assert loaded is not None
    assert loaded[1] == {"step": 1}
    assert len(heard) == 1
    assert "step-2" in heard[0]


def test_only_damage_means_no_checkpoint(tmp_path: Path) -> None:
    (_save(tmp_path, 1) / "state.json").unlink()
    assert load_latest(tmp_path, lambda _message: None) is None


def test_a_failed_write_leaves_the_others_and_nothing_of_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _save(tmp_path, 1)
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, 2, {"model": {"w": torch.zeros(1)}}, {"not json": object()})
    assert [path.name for path in tmp_path.iterdir()] == ["step-1"]


def test_prune_keeps_what_it_is_told_and_removes_leftovers(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        _save(tmp_path, step)
    (tmp_path / ".step-11.building").mkdir()
    prune(tmp_path, {2, 10})
    assert [step_of(path) for path in checkpoints(tmp_path)] == [10, 2]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_removal_that_is_interrupted_leaves_nothing_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (1, 2):
        _save(tmp_path, step)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            prune(tmp_path, {2})
    assert [step_of(path) for path in checkpoints(tmp_path)] == [2]
    prune(tmp_path, {2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-2"]


def test_added_files_are_part_of_the_checkpoint(tmp_path: Path) -> None:
    def add(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        (folder / "inner").mkdir()
        (folder / "inner" / "more.txt").write_text("more")

    tensors = {"model": {"w": torch.zeros(3)}}
    saved = save_checkpoint(tmp_path, 1, tensors, {"step": 1}, add)
    assert set(verify(saved)) == {
        "config.json",
        "inner/more.txt",
        "model.safetensors",
        "state.json",
    }
    assert load_checkpoint(saved)[0].keys() == {"model"}
    (saved / "inner" / "more.txt").write_text("less")
    with pytest.raises(ValueError, match=r"more\.txt is damaged"):
        load_checkpoint(saved)
    assert "config.json" in verify(saved, without=["inner/more.txt"])


def test_optimizer_continues_as_if_it_had_not_stopped() -> None:
    def train(steps: int, parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(steps):
            (parameter**2).sum().backward()
            optimizer.step()
            optimizer.zero_grad()

    straight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([straight], lr=0.1)
    train(3, straight, optimizer)
    resumed = torch.nn.Parameter(straight.detach().clone())
    other = torch.optim.AdamW([resumed], lr=0.1)
    saved = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    load_optimizer(other, saved)
    train(3, straight, optimizer)
    train(3, resumed, other)
    assert torch.equal(straight, resumed)

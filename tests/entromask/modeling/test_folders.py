"""A broken local folder is refused with a sentence about that folder, never about the Hub."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, DistilBertConfig

from entromask import cli
from entromask.errors import InputError
from entromask.hf.arguments import open_teacher
from entromask.modeling.folders import (
    check_model_folder,
    check_safetensors,
    check_tokenizer_folder,
)
from entromask.modeling.references import load_masked_lm
from entromask.settings import settings
from entromask.spec import ModelReference
from entromask.text.tokenizer import load_tokenizer
from tests.entromask.words import word_tokenizer

Fault = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    config = BertConfig(
        vocab_size=300, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def model(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def sharded(folder: Path) -> None:
    """Save the model again, in several files."""
    model = AutoModelForMaskedLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="8KB")
    assert (folder / "model.safetensors.index.json").is_file()


def without_second_shard(folder: Path) -> None:
    sharded(folder)
    next(folder.glob("model-00002-of-*.safetensors")).unlink()


def with_truncated_shard(folder: Path) -> None:
    sharded(folder)
    truncate(next(folder.glob("model-00002-of-*.safetensors")), 100)


def truncate(file: Path, bytes_lost: int) -> None:
    file.write_bytes(file.read_bytes()[:-bytes_lost])


def extend(file: Path) -> None:
    file.write_bytes(file.read_bytes() + bytes(7))


def only(name: str) -> Fault:
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def write(name: str, content: str) -> Fault:
    return lambda folder: (folder / name).write_text(content)


def remove(name: str) -> Fault:
    return lambda folder: (folder / name).unlink()


FAULTS: list[tuple[str, Fault, str, str]] = [
    ("gone", shutil.rmtree, "no model folder", "config.json and model.safetensors"),
    ("no weights", remove("model.safetensors"), "a config.json without weights", "save_pretrained"),
    ("no config", remove("config.json"), "holds no config.json", "config.json"),
    ("bad config", write("config.json", "{"), "config.json is not a JSON object", "save"),
    ("pickle", only("pytorch_model.bin"), "in pytorch_model.bin, a pickle", "convert it"),
    ("lightning", only("last.ckpt"), "in last.ckpt, a pickle", "convert it"),
    ("tensorflow", only("tf_model.h5"), "TensorFlow alone (tf_model.h5)", "convert them"),
    ("renamed", only("best.safetensors"), "no model.safetensors, but best.safetensors", "rename"),
    ("shard", without_second_shard, "lacks model-00002-of-", "copy or download"),
    ("cut shard", with_truncated_shard, ".safetensors is truncated", "copy or download"),
    ("cut", lambda f: truncate(f / "model.safetensors", 1), "is truncated", "copy or download"),
    ("more", lambda f: extend(f / "model.safetensors"), "7 bytes stand behind", "copy or download"),
    ("empty", write("model.safetensors", ""), "truncated: it has 0 bytes", "copy or download"),
    (
        "lfs",
        write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "pointer of Git LFS",
        "git lfs pull",
    ),
    ("page", write("model.safetensors", "<html>" * 9), "is not a safetensors file", "convert"),
    ("type", write("config.json", '{"model_type": "nothing"}'), "cannot be loaded", "config.json"),
    ("no type", write("config.json", "{}"), "cannot be loaded", "config.json"),
]
BY_NAME = pytest.mark.parametrize(
    ("fault", "sentence", "hint"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)


def says_folder_and_not_hub(message: str, folder: Path) -> None:
    assert str(folder) in message
    for word in ("Hub", "huggingface", "network", "offline", "private"):
        assert word not in message


@BY_NAME
def test_a_broken_folder_is_named_with_its_fault(
    model: Path, fault: Fault, sentence: str, hint: str
) -> None:
    fault(model)
    # A name that stands for the Hub may still be a folder.
    for reference in (ModelReference(path=str(model)), ModelReference(hub=str(model))):
        with pytest.raises(InputError) as refusal:
            load_masked_lm(reference)
        assert sentence in refusal.value.message
        assert hint in str(refusal.value.hint)
        says_folder_and_not_hub(refusal.value.message, model)


@pytest.mark.parametrize("command", ["preview", "run teacher", "run init"])
@pytest.mark.parametrize("name", ["no weights", "pickle", "shard", "cut"])
def test_the_command_line_says_the_same(
    command: str,
    name: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fault, sentence, hint = next(row[1:] for row in FAULTS if row[0] == name)
    fault(model)
    monkeypatch.setenv("ENTROMASK_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    spec = tmp_path / "spec.yaml"
    if command == "run teacher":
        spec.write_text(f"teacher: {{path: {model}}}\nmasking: {{preset: teacher-entropy-high}}\n")
    else:
        spec.write_text(f"model: {{init: {{path: {model}}}}}\n")
    words = (
        ["preview", "w9 w8", "--model", str(model)]
        if command == "preview"
        else ["run", str(spec), "--output", str(tmp_path / "run")]
    )
    monkeypatch.setattr(sys, "argv", ["entromask", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    settings.cache_clear()
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert sentence in error
    assert hint in error
    assert str(model) in error
    assert "Hub" not in error


def test_whole_folders_pass_in_one_file_or_several(model: Path) -> None:
    before = load_masked_lm(ModelReference(path=str(model))).model.state_dict()
    check_model_folder(model)
    sharded(model)
    check_model_folder(model)
    check_tokenizer_folder(model)
    after = load_masked_lm(ModelReference(path=str(model))).model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_file_of_several_types_is_complete_by_its_header(tmp_path: Path) -> None:
    tensors = {"a": torch.zeros(3, 5), "b": torch.zeros(7, dtype=torch.int8), "c": torch.zeros(0)}
    for content in (tensors, {}):
        file = tmp_path / "x.safetensors"
        save_file(content, file, {"format": "pt"})
        check_safetensors(file)
        if content:
            truncate(file, 1)
            with pytest.raises(InputError, match=r"has \d+ of \d+ bytes"):
                check_safetensors(file)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "holds no tokenizer"),
        ({"config.json": '{"model_type": "bert"}'}, "holds no tokenizer"),
        ({"tokenizer_config.json": '{"tokenizer_class": "BertTokenizer"}'}, "holds no tokenizer"),
        ({"vocab.json": "{}"}, "without merges.txt"),
        ({"tokenizer.json": "{"}, "no tokenizer that can be loaded"),
        ({"tokenizer.json": "{}", "tokenizer_config.json": "["}, "config.json is not a JSON"),
    ],
)
def test_a_folder_without_a_vocabulary_is_no_tokenizer(
    files: dict[str, str], sentence: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as refusal:
        load_tokenizer(str(tmp_path))
    assert sentence in refusal.value.message
    says_folder_and_not_hub(refusal.value.message, tmp_path)


def test_a_path_is_never_looked_up_on_the_hub(tmp_path: Path) -> None:
    for path in (str(tmp_path / "none"), "./none", "~/none/none", "some/where/else"):
        for load in (
            lambda path: load_masked_lm(ModelReference(hub=path)),
            lambda path: load_masked_lm(ModelReference(path=path)),
            lambda path: open_teacher(path, word_tokenizer()),
        ):
            with pytest.raises(InputError, match="no model folder"):
                load(path)
        with pytest.raises(InputError, match="no tokenizer folder"):
            load_tokenizer(path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(InputError, match="is a file, not a model folder"):
        load_masked_lm(ModelReference(path=str(file)))
    with pytest.raises(InputError, match="is a file, not a tokenizer folder"):
        load_tokenizer(str(file))


@pytest.fixture
def open_folder(whole: Path) -> Iterator[Path]:
    """A copy of the model below a folder that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(shutil.copytree(whole, Path(name) / "model"))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Act as a user whom permissions hold for, also where the tests run as root."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["", "config.json", "model.safetensors", "tokenizer.json"])
def test_what_may_not_be_read_is_named(name: str, open_folder: Path) -> None:
    (open_folder / name).chmod(0)
    load = load_tokenizer if name == "tokenizer.json" else check_model_folder
    with unprivileged(), pytest.raises(InputError) as refusal:
        load(str(open_folder) if load is load_tokenizer else open_folder)  # type: ignore[operator]
    (open_folder / name).chmod(0o755)
    path = open_folder / name
    assert refusal.value.message == f"{path} cannot be read: permission denied"
    assert "chmod" in str(refusal.value.hint)


def test_a_model_of_another_kind_is_not_called_broken(model: Path) -> None:
    DistilBertConfig(vocab_size=300).save_pretrained(model)
    with pytest.raises(InputError, match="is not a masked language model: it has no weights for"):
        load_masked_lm(ModelReference(path=str(model)))

"""Loading a model never runs code that lies beside its weights, and never unpickles them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from entromask.errors import InputError
from entromask.modeling.references import load_masked_lm
from entromask.spec import ModelReference
from entromask.text.tokenizer import load_tokenizer


def folder_with_code(tmp_path: Path) -> tuple[Path, Path]:
    """(a model folder that wants its own code to be run, the file that this would make)."""
    folder, trap = tmp_path / "model", tmp_path / "trap"
    folder.mkdir()
    (folder / "evil.py").write_text(f"open({str(trap)!r}, 'w')\n")
    names = {
        "AutoConfig": "evil.Config",
        "AutoModelForMaskedLM": "evil.Model",
        "AutoTokenizer": ["evil.Tokenizer", None],
    }
    config = {"model_type": "evil", "auto_map": names, "tokenizer_class": "Evil"}
    for name in ("config.json", "tokenizer_config.json"):
        (folder / name).write_text(json.dumps(config))
    return folder, trap


def test_code_beside_a_model_is_never_run(tmp_path: Path) -> None:
    folder, trap = folder_with_code(tmp_path)
    with pytest.raises(InputError):
        load_masked_lm(ModelReference(path=str(folder)))
    with pytest.raises(InputError):
        load_tokenizer(str(folder))
    assert not trap.exists()


def test_pickled_weights_are_never_opened(tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trap,)

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(InputError):
        load_masked_lm(ModelReference(path=str(folder)))
    assert not trap.exists()

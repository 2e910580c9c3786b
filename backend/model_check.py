"""Looks at a model before anybody loads it: nothing is imported or unpickled."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from backend.hub_names import hub_name_fault
from backend.problems import ProblemError
from backend.specs import check_path

_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_LARGEST_CONFIG = 10_000_000
_SAVE = "save it with model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER)"
_CONVERT = (
    "convert it: AutoModelForMaskedLM.from_pretrained(FOLDER).save_pretrained(FOLDER) on a machine "
    "where you trust the file"
)

_REVISION = re.compile(r"(?=.{1,200}\Z)(?!.*\.\.)\w[\w./-]*", re.A)


def check_model_folder(path: str, pointer: str = "/path") -> tuple[Path, str | None]:
    """The folder with symbolic links resolved, and the architecture that its config.json names.

    Raises:
        ProblemError: it lies outside the allowed folders, lacks a file, has only pickled weights,
            or wants code of its own to be run.
    """
    folder = _resolved(path, pointer)
    if not folder.is_dir():
        raise _invalid(pointer, f"{path} is no folder", "name a model folder")
    config = _json(folder, "config.json", pointer)
    weights = [file for file in folder.iterdir() if file.suffix == ".safetensors"]
    if not weights:
        pickled = sorted(file.name for file in folder.iterdir() if file.suffix in _PICKLED)
        if pickled:
            raise _invalid(
                pointer,
                f"{path} has its weights in {pickled[0]}, a pickle, which can run code when it is "
                "loaded; allowed: safetensors",
                _CONVERT,
            )
        raise _invalid(pointer, f"{path} holds no .safetensors file", _SAVE)
    if not (folder / "tokenizer.json").is_file():
        raise _invalid(pointer, f"{path} holds no tokenizer.json", _SAVE)
    for file in [*weights, folder / "tokenizer.json"]:
        _resolved(str(file), pointer)
    tokenizer = folder / "tokenizer_config.json"
    parts = [config, _json(folder, tokenizer.name, pointer) if tokenizer.exists() else {}]
    if any("auto_map" in part for part in parts):
        raise _invalid(
            pointer,
            f"{path} needs code of its own to be run (auto_map), which is never done",
            "use an architecture that transformers itself has",
        )
    architectures = config.get("architectures")
    named = architectures[0] if isinstance(architectures, list) and architectures else None
    architecture = config.get("model_type") or named
    return folder, architecture[:64] if isinstance(architecture, str) else None


def _resolved(path: str, pointer: str) -> Path:
    fault = check_path(path)
    if fault is not None:
        raise _invalid(pointer, fault, "ENTROMASK_DATA_DIRS names the folders that may be used")
    return Path(path).expanduser().resolve()


def check_hub_name(name: str, revision: str | None, pointer: str = "") -> None:
    """Makes sure that a name can only mean the Hub's; nothing is asked of the Hub.

    Raises:
        ProblemError: it has another form, or is a folder here.
    """
    fault = hub_name_fault(name)
    if fault is not None:
        raise _invalid(f"{pointer}/hub", fault, "e.g. answerdotai/ModernBERT-base")
    if revision is not None and _REVISION.fullmatch(revision) is None:
        raise _invalid(
            f"{pointer}/revision",
            f"'{revision[:200]}' is no revision on the Hub",
            "a branch, a tag or a commit",
        )


def _json(folder: Path, name: str, pointer: str) -> dict[str, Any]:
    if not (folder / name).is_file():
        raise _invalid(pointer, f"{folder} holds no {name}", _SAVE)
    file = _resolved(str(folder / name), pointer)
    try:
        if file.stat().st_size > _LARGEST_CONFIG:
            raise ValueError(name)
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _invalid(pointer, f"{folder}/{name} is not a JSON object that can be read", _SAVE)
    return data


def _invalid(pointer: str, sentence: str, hint: str) -> ProblemError:
    return ProblemError("invalid_model", sentence, hint, errors=[(pointer, sentence)])

"""Looks at a model before anybody loads it: nothing is imported or unpickled."""

from __future__ import annotations

import re
from pathlib import Path

from backend.hub_names import hub_name_fault
from backend.problems import ProblemError
from backend.specs import check_path
from entromask.errors import InputError
from entromask.modeling import folders

_SAVE = "save it with model.save_pretrained(FOLDER) and tokenizer.save_pretrained(FOLDER)"
_REVISION = re.compile(r"(?=.{1,200}\Z)(?!.*\.\.)\w[\w./-]*", re.A)


def check_model_folder(path: str, pointer: str = "/path") -> tuple[Path, str | None]:
    """The folder with symbolic links resolved, and the architecture that its config.json names.

    Raises:
        ProblemError: it lies outside the allowed folders, lacks a file, has only pickled weights,
            or wants code of its own to be run.
    """
    folder = _resolved(path, pointer)
    try:
        # Links are followed only into folders that may be named.
        for name in folders.file_names(folder):
            _resolved(str(folder / name), pointer)
        config = folders.check_model_folder(folder)
        folders.check_tokenizer_folder(folder)
        settings = folder / "tokenizer_config.json"
        parts = [config, folders.json_object(settings) if settings.exists() else {}]
    except InputError as error:
        raise _invalid(pointer, error.message, str(error.hint)) from None
    if not (folder / "tokenizer.json").is_file():
        raise _invalid(pointer, f"{path} holds no tokenizer.json", _SAVE)
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


def _invalid(pointer: str, sentence: str, hint: str) -> ProblemError:
    return ProblemError("invalid_model", sentence, hint, errors=[(pointer, sentence)])

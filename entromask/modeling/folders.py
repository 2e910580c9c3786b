"""Checks of a local model folder before anything loads it: one clear sentence for each fault.

The libraries that load a model answer a broken local folder with advice about the Hub. Every
function that loads a folder calls a check of this module first. Only headers are read here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from entromask.errors import InputError

NEEDED = "give a folder saved by AutoModelForMaskedLM, with config.json and model.safetensors"
WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_OTHER_LIBRARIES = {".h5": "TensorFlow", ".msgpack": "Flax", ".onnx": "ONNX", ".gguf": "llama.cpp"}
# Beside the weights of a checkpoint; no model is made of them.
_OF_TRAINING = ("optimizer.safetensors", "diagnostics.safetensors", "scores.safetensors")
_SAVE = "save it again with model.save_pretrained(FOLDER)"
_COPY = "copy or download the file again"
_CONVERT = (
    "on a machine where you trust the file, convert it: "
    "AutoModelForMaskedLM.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER), and the same with "
    "AutoTokenizer"
)
# What holds the vocabulary of a tokenizer; transformers makes an empty one where none is there.
_VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "tekken.json")
_VOCABULARY_SUFFIXES = (".model", ".tokenizer")
_TOKENIZER = "save it with tokenizer.save_pretrained(FOLDER)"
_LARGEST_JSON = 10_000_000
# safetensors refuses longer headers.
_LONGEST_HEADER = 100_000_000


def is_path(name: str) -> bool:
    """Whether a name can only be a path: the Hub's names are NAME or OWNER/NAME."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1


def check_model_folder(folder: Path) -> dict[str, Any]:
    """Make sure that a folder holds a configuration and complete safetensors weights.

    Returns:
        The content of config.json.

    Raises:
        InputError: a file is missing, may not be read, is truncated, or is a pickle.
    """
    names = file_names(folder)
    if "config.json" not in names:
        nested = (folder / "model" / "config.json").is_file()
        hint = f"did you mean {folder / 'model'}?" if nested else NEEDED
        raise InputError(f"{folder} holds no config.json", hint)
    config = json_object(folder / "config.json")
    if WEIGHTS in names:
        check_safetensors(folder / WEIGHTS)
    elif INDEX in names:
        _check_shards(folder, names)
    else:
        raise _no_weights(folder, names)
    return config


def check_tokenizer_folder(folder: Path) -> None:
    """Make sure that a folder holds the files of a tokenizer, and that they may be read.

    Raises:
        InputError: there is no such folder, or none of the files, or one that cannot be read.
    """
    names = file_names(folder, "tokenizer", "name a folder with a tokenizer.json in it")
    present = [n for n in names if n in _VOCABULARIES or n.endswith(_VOCABULARY_SUFFIXES)]
    if not present:
        raise InputError(
            f"{folder} holds no tokenizer: no tokenizer.json, vocab.txt, vocab.json or *.model",
            _TOKENIZER,
        )
    if present == ["vocab.json"] and "merges.txt" not in names:
        raise InputError(
            f"{folder} holds no whole tokenizer: a vocab.json without merges.txt", _TOKENIZER
        )
    for name in present:
        _read(folder / name, 1)
    for name in {"tokenizer_config.json", "special_tokens_map.json"} & set(names):
        json_object(folder / name, _TOKENIZER)


def check_safetensors(file: Path) -> None:
    """Make sure that a safetensors file is complete, by its header and its size.

    Raises:
        InputError: it may not be read, is truncated, or is a file of another kind.
    """
    head = _read(file, 8)
    if head == b"version ":
        raise InputError(
            f"{file} is a pointer of Git LFS, not the weights themselves",
            "run `git lfs pull` in the repository, or download the file",
        )
    size = file.stat().st_size
    length = int.from_bytes(head, "little")
    if len(head) < 8 or (length <= _LONGEST_HEADER and size < 8 + length):
        raise InputError(f"{file} is truncated: it has {size:,} bytes", _COPY)
    if length > _LONGEST_HEADER:
        raise InputError(f"{file} is not a safetensors file", _CONVERT)
    try:
        header = json.loads(_read(file, 8 + length)[8:])
        ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
        complete = 8 + length + max(ends, default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise InputError(f"{file} is not a safetensors file", _CONVERT) from None
    if size < complete:
        raise InputError(
            f"{file} is truncated: it has {size:,} of {complete:,} bytes",
            _COPY,
        )
    if size > complete:
        raise InputError(
            f"{file} is damaged: {size - complete:,} bytes stand behind its last tensor", _COPY
        )


def file_names(folder: Path, kind: str = "model", hint: str = NEEDED) -> list[str]:
    """List what a folder holds, in alphabetical order.

    Raises:
        InputError: there is no such folder, or it may not be read.
    """
    try:
        return sorted(file.name for file in folder.iterdir())
    except FileNotFoundError:
        raise InputError(f"no {kind} folder {folder}", hint) from None
    except NotADirectoryError:
        raise InputError(f"{folder} is a file, not a {kind} folder", hint) from None
    except OSError as error:
        raise _unreadable(folder, error) from None


def _check_shards(folder: Path, names: list[str]) -> None:
    index = json_object(folder / INDEX)
    parts = index.get("weight_map")
    if not isinstance(parts, dict) or not all(isinstance(name, str) for name in parts.values()):
        raise InputError(f"{folder / INDEX} has no weight_map from tensors to files", _SAVE)
    shards = sorted(set(parts.values()))
    missing = [name for name in shards if name not in names]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{folder} lacks {missing[0]}{more} of the {len(shards)} files of weights that "
            f"{INDEX} lists",
            _COPY,
        )
    for name in shards:
        check_safetensors(folder / name)


def _no_weights(folder: Path, names: list[str]) -> InputError:
    start = f"{folder} holds no {WEIGHTS}"
    others = [n for n in names if n.endswith(".safetensors") and n not in _OF_TRAINING]
    if others:
        return InputError(
            f"{start}, but {others[0]}",
            f"rename it to {WEIGHTS}, or restore {INDEX} where the weights are in several files",
        )
    pickles = [name for name in names if name.endswith(_PICKLES) and name != "training_args.bin"]
    if pickles:
        return InputError(
            f"{folder} has its weights in {pickles[0]}, a pickle, which can run code when it is "
            "loaded; allowed: safetensors",
            _CONVERT,
        )
    for name in names:
        library = _OTHER_LIBRARIES.get(Path(name).suffix)
        if library is not None:
            return InputError(
                f"{folder} has weights for {library} alone ({name}); allowed: safetensors",
                "convert them to PyTorch, and save them with model.save_pretrained(FOLDER)",
            )
    return InputError(f"{start}: it has a config.json without weights", _SAVE)


def json_object(file: Path, hint: str = _SAVE) -> dict[str, Any]:
    """Read a small JSON file of a model folder.

    Raises:
        InputError: it may not be read, is longer than 10 MB, or holds no JSON object.
    """
    content = _read(file, _LARGEST_JSON + 1)
    try:
        data = json.loads(content) if len(content) <= _LARGEST_JSON else None
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        data = None
    if not isinstance(data, dict):
        raise InputError(f"{file} is not a JSON object", hint)
    return data


def _read(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise _unreadable(file, error) from None


def _unreadable(path: Path, error: OSError) -> InputError:
    reason = (error.strerror or str(error)).lower()
    return InputError(
        f"{path} cannot be read: {reason}",
        "let the user who runs Entromask read it (chmod, chown)"
        if isinstance(error, PermissionError)
        else "check the path, and that the disk is in order",
    )

"""Finds the files of a corpus, or of a task's split, in the folders that users have.

A split is one file (`train.jsonl.gz`), the shards of one (`train-00000-of-00002.parquet`), or a
folder that `datasets.save_to_disk` has written.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from entromask.errors import InputError
from entromask.text.files import SUFFIXES
from entromask.text.tables import allowed_suffixes, suffix_of
from entromask.text.unpacking import PACKED

# What systems put beside a user's files.
_HIDDEN = re.compile(r"\..*|__MACOSX")
# What stands beside data and is none, whatever its suffix.
_ABOUT = re.compile(r"(readme|license|licence|dataset_infos?)(\.[a-z]+)?", re.I)
# Of the Hub; the end is there in older data sets.
_SHARD = re.compile(r"(?P<split>.+)-(?P<number>\d{5})-of-(?P<of>\d{5})(-[0-9a-f]{8,})?")
_VALIDATION = re.compile(r"(validation|valid|val|dev)(?![a-z])", re.I)
_TEST = re.compile(r"test(?![a-z])", re.I)
_LONGEST_LIST = 8


@dataclass(frozen=True)
class CorpusFiles:
    """The files of a corpus in their order; without `validation`, training text is held out.

    `left_out` are the names of what lies beside them and is not read.
    """

    train: list[Path]
    validation: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def corpus_files(path: Path) -> CorpusFiles:
    """The files that a corpus's path stands for.

    Raises:
        InputError: there is nothing, nothing that can be read, or not all of it.
    """
    if not path.exists():
        raise InputError(
            f"no corpus at {path}",
            "check corpus.path: a relative path starts from the current folder",
        )
    if path.is_dir():
        return _folder(path)
    if suffix_of(path) not in SUFFIXES:
        last = "".join(path.suffixes[-2:])
        has = f"has the suffix '{last}'" if last else "has no suffix"
        raise InputError(
            f"{path} {has}; allowed: {allowed_suffixes(SUFFIXES)}",
            "plain text has to be called .txt",
        )
    return CorpusFiles([path])


def split_files(folder: Path, split: str, suffixes: Sequence[str]) -> list[Path]:
    """The file or the shards of a split, in their order; none if the folder has none.

    Raises:
        InputError: there are several files of the split, a shard is missing, or what
            `save_to_disk` wrote is not whole.
    """
    if (folder / "dataset_dict.json").is_file():
        return saved_splits(folder).get(split, [])
    whole = [file for file in visible_entries(folder) if stem_of(file, suffixes) == split.lower()]
    shards = _shards(folder, split.lower(), suffixes)
    if _is_saved(folder / split):
        shards[""] = _saved(folder / split)
    if len(whole) + len(shards) > 1:
        names = ", ".join([*(file.name for file in whole), *(f"{split}-…{end}" for end in shards)])
        raise InputError(f"the folder {folder} has several {split} files: {names}", "keep one")
    return whole or next(iter(shards.values()), [])


def stem_of(file: Path, suffixes: Sequence[str]) -> str | None:
    """The name in lower case and without suffixes; None if it is not that of a data file."""
    suffix = suffix_of(file)
    if suffix not in suffixes or _ABOUT.fullmatch(file.name):
        return None
    name = file.name.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return name.removesuffix(suffix)


def visible_entries(folder: Path) -> list[Path]:
    """What is in a folder, in the order of its names, but for what is hidden."""
    try:
        return sorted(entry for entry in folder.iterdir() if not _HIDDEN.fullmatch(entry.name))
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be read: {(error.strerror or str(error)).lower()}",
            "check its permissions",
        ) from None


def _shards(folder: Path, split: str, suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """By suffix and number of shards, the shards of a split."""
    sets: dict[tuple[str, int], dict[int, Path]] = defaultdict(dict)
    for file in visible_entries(folder):
        match = _SHARD.fullmatch(stem_of(file, suffixes) or "")
        if match is not None and match["split"] == split:
            key = (file.name[file.name.lower().rindex(suffix_of(file)) :], int(match["of"]))
            shards = sets[key]
            if int(match["number"]) in shards:
                raise InputError(
                    f"the folder {folder} has shard {match['number']} of {split} twice: "
                    f"{shards[int(match['number'])].name}, {file.name}",
                    "keep one of them",
                )
            shards[int(match["number"])] = file
    for (suffix, of), shards in sets.items():
        missing = [number for number in range(of) if number not in shards]
        if missing:
            more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
            raise InputError(
                f"the folder {folder} lacks {split}-{missing[0]:05}-of-{of:05}{suffix}{more}; it "
                f"has {len(shards):,} of {of:,} shards",
                "fetch the missing shards, or rename the others if they are all there is",
            )
    return {
        suffix: [shards[number] for number in sorted(shards)]
        for (suffix, _), shards in sets.items()
    }


def _folder(folder: Path) -> CorpusFiles:
    if (folder / "dataset_dict.json").is_file():
        splits = saved_splits(folder)
        if "train" not in splits:
            raise InputError(
                f"the data set {folder} has no split 'train', only {', '.join(splits)}",
                f"name the folder of the split to train on, such as {folder / next(iter(splits))}",
            )
        others = [name for name in splits if name not in ("train", "validation")]
        return CorpusFiles(splits["train"], splits.get("validation", []), others)
    if _is_saved(folder):
        return CorpusFiles(_saved(folder))
    train = split_files(folder, "train", SUFFIXES)
    validation = split_files(folder, "validation", SUFFIXES)
    if not train:
        train, validation = _all_files(folder, validation)
    used = {*train, *validation}
    beside = [
        entry.name + "/" * entry.is_dir()
        for entry in visible_entries(folder)
        if entry not in used and not any(entry in file.parents for file in used)
    ]
    return CorpusFiles(train, validation, beside)


def _all_files(folder: Path, validation: list[Path]) -> tuple[list[Path], list[Path]]:
    """Every file of a folder without train.*: training text unless its name says otherwise."""
    files = [file for file in visible_entries(folder) if file.is_file() and stem_of(file, SUFFIXES)]
    held = [file for file in files if _VALIDATION.match(file.name)]
    test = [file for file in files if _TEST.match(file.name)]
    train = [file for file in files if file not in held and file not in test]
    for file in train:
        match = _SHARD.fullmatch(stem_of(file, SUFFIXES) or "")
        if match is not None:
            _shards(folder, match["split"], SUFFIXES)  # refuses what is not whole
    if not train:
        raise InputError(
            f"the corpus folder {folder} has no file with training text; {_content(folder)}",
            f"name a file, or call it train.txt; allowed: {allowed_suffixes(SUFFIXES)}",
        )
    return train, validation or held


def _content(folder: Path) -> str:
    """What is in a folder, in words; of its folders, those with files that could be read."""
    entries = visible_entries(folder)
    if not entries:
        return "it is empty"
    names = [entry.name + "/" * entry.is_dir() for entry in entries]
    shown = ", ".join(names[:_LONGEST_LIST])
    more = f" and {len(names) - _LONGEST_LIST:,} more" if len(names) > _LONGEST_LIST else ""
    inner = [
        entry
        for entry in entries
        if entry.is_dir() and any(stem_of(file, SUFFIXES) for file in visible_entries(entry))
    ]
    way = f" (name {inner[0]} to read the files in it)" if inner else ""
    return f"it has {shown}{more}{way}"


def _is_saved(folder: Path) -> bool:
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def saved_splits(folder: Path) -> dict[str, list[Path]]:
    """By split, the files of a DatasetDict that `save_to_disk` has written.

    Raises:
        InputError: it is not whole.
    """
    try:
        content = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))
        names = [str(name) for name in content["splits"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder / 'dataset_dict.json'} does not name the splits of a data set",
            "save the data set again with save_to_disk",
        ) from None
    for name in names:
        if not _is_saved(folder / name):
            raise InputError(
                f"the data set {folder} has the split '{name}', and {folder / name} is not whole",
                "save the data set again with save_to_disk",
            )
    return {name: _saved(folder / name) for name in names}


def _saved(folder: Path) -> list[Path]:
    """The files of a Dataset that `save_to_disk` has written."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        files = [folder / str(file["filename"]) for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder / 'state.json'} does not name the files of a data set",
            "save the data set again with save_to_disk",
        ) from None
    if state.get("_indices_data_files"):
        raise InputError(
            f"the data set {folder} is a selection of rows that an old version of datasets saved",
            "load it, and save it again with flatten_indices().save_to_disk",
        )
    for file in files:
        if not file.is_file():
            raise InputError(
                f"the data set {folder} lacks {file.name}", "copy the folder again as a whole"
            )
    return files

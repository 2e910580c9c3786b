"""The local copy of a Hub corpus that `entromask prefetch` makes, in the Hub's own cache.

A note in ENTROMASK_HOME says which files make up the split, so that a copy with a file missing is
never taken for the whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entromask.disk import require_space
from entromask.errors import InputError
from entromask.settings import settings
from entromask.spec import HubCorpus
from entromask.text.cache import write_once

_URL = re.compile(r"hf://datasets/[^@]+@[^/]+/(.+)")
# What tells `datasets` how to read the files; a data set may have none of them.
_CARDS = ("README.md", ".huggingface.yaml")


@dataclass(frozen=True)
class LocalCopy:
    """A split as it was at `commit`: the cache's folder of that commit, and the files in order."""

    commit: str
    folder: Path
    files: list[str]


def find_copy(corpus: HubCorpus) -> LocalCopy | None:
    """The copy of the corpus's split on this machine; None unless all of it is there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        note = json.loads(_note(corpus).read_text(encoding="utf-8"))
        commit, names = str(note["commit"]), [str(name) for name in note["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    files = []
    for name in names:
        place = try_to_load_from_cache(corpus.name, name, repo_type="dataset", revision=commit)
        if not isinstance(place, str):
            return None
        files.append(place)
    folder = Path(files[0].removesuffix(names[0]))
    return LocalCopy(commit, folder, files)


def fetch_copy(corpus: HubCorpus, commit: str, data_files: dict[str, Any]) -> None:
    """Downloads the split at this commit; files that are in the cache already stay.

    Args:
        data_files: by split, the addresses hf://datasets/NAME@COMMIT/PATH that `datasets` reads.

    Raises:
        InputError: no such split, or files that are not in the data set's own repository.
        DiskFullError: there is no room.
        Exception: of the Hub's client; to be called within `hub_errors`.
    """
    from huggingface_hub import HfApi, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import EntryNotFoundError

    if corpus.split not in data_files:
        raise InputError(
            f"the data set '{corpus.name}' has no split '{corpus.split}', only "
            + ", ".join(data_files),
            "check corpus.config and corpus.split",
        )
    found = [_URL.fullmatch(str(address)) for address in data_files[corpus.split]]
    names = [match[1] for match in found if match]
    if not names or len(names) < len(found):
        raise InputError(
            f"the data set '{corpus.name}' keeps files outside of its repository on the Hub",
            "download them by hand and use corpus: {source: local, path: FOLDER}",
        )
    place: dict[str, Any] = {"repo_type": "dataset", "revision": commit}
    missing = [name for name in names if not try_to_load_from_cache(corpus.name, name, **place)]
    if missing:
        infos = HfApi().get_paths_info(corpus.name, missing, **place)
        size = sum(getattr(info, "size", 0) for info in infos)
        require_space(Path(HF_HUB_CACHE), size, f"the data set '{corpus.name}'")
    for name in missing:
        hf_hub_download(corpus.name, name, **place)
    for name in _CARDS:
        try:
            hf_hub_download(corpus.name, name, **place)
        except EntryNotFoundError:
            continue
    write_once(_note(corpus), json.dumps({"commit": commit, "files": names}).encode())


def _note(corpus: HubCorpus) -> Path:
    key = json.dumps([corpus.name, corpus.config, corpus.split])
    name = hashlib.sha256(key.encode()).hexdigest()
    return settings().cache / "hub" / f"{name}.json"

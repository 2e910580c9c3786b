"""The local copy of a Hub corpus that `entromask prefetch` makes, in the Hub's own cache.

A note in ENTROMASK_HOME says which files make up the split, so that a copy with a file missing is
never taken for the whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
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


# A run with max_tokens reads the beginning of a split. These many words (each of them at least a
# token) and characters are enough for it: for its rows, for the longest rows that can be held out
# where one document in 20 is, and for the text that a tokenizer is trained on.
WORDS_A_TOKEN = 2
LEAST_WORDS = 25_000_000
LEAST_CHARACTERS = 250_000_000


@dataclass(frozen=True)
class LocalCopy:
    """A split as it was at `commit`: the cache's folder of that commit, and the files in order.

    `whole` is False where there are more files, for a corpus of limited max_tokens.
    """

    commit: str
    folder: Path
    files: list[str]
    whole: bool


# Words and characters of a copy.
Measure = Callable[[LocalCopy], tuple[int, int]]


def find_copy(corpus: HubCorpus) -> LocalCopy | None:
    """The copy of the corpus's split on this machine; None unless all of it is there."""
    from huggingface_hub import try_to_load_from_cache

    try:
        note = json.loads(_note(corpus).read_text(encoding="utf-8"))
        commit, names = str(note["commit"]), [str(name) for name in note["files"]]
        most = None if note["max_tokens"] is None else int(note["max_tokens"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if most is not None and (corpus.max_tokens is None or corpus.max_tokens > most):
        return None
    files = []
    for name in names:
        place = try_to_load_from_cache(corpus.name, name, repo_type="dataset", revision=commit)
        if not isinstance(place, str):
            return None
        files.append(place)
    folder = Path(files[0].removesuffix(names[0]))
    return LocalCopy(commit, folder, files, most is None)


def fetch_copy(
    corpus: HubCorpus, commit: str, data_files: dict[str, Any], measure: Measure
) -> None:
    """Downloads the split at this commit; files that are in the cache already stay.

    With max_tokens it stops after the file that makes the text long enough.

    Args:
        data_files: by split, the addresses hf://datasets/NAME@COMMIT/PATH that `datasets` reads.
        measure: called with a copy of a single file.

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
    for name in _CARDS:
        try:
            hf_hub_download(corpus.name, name, **place)
        except EntryNotFoundError:
            continue
    infos = HfApi().get_paths_info(corpus.name, names, **place)
    sizes = {info.path: int(getattr(info, "size", 0)) for info in infos}
    cached = [name for name in names if try_to_load_from_cache(corpus.name, name, **place)]
    what = f"the data set '{corpus.name}'"
    if corpus.max_tokens is None:
        missing = sum(sizes.get(name, 0) for name in names if name not in cached)
        require_space(Path(HF_HUB_CACHE), missing, what)
    words = characters = 0
    for number, name in enumerate(names, start=1):
        if name not in cached:
            require_space(Path(HF_HUB_CACHE), sizes.get(name, 0), what)
        file = hf_hub_download(corpus.name, name, **place)
        if corpus.max_tokens is None or number == len(names):
            continue
        part = LocalCopy(commit, Path(file.removesuffix(name)), [file], False)
        more_words, more_characters = measure(part)
        words, characters = words + more_words, characters + more_characters
        enough = max(LEAST_WORDS, WORDS_A_TOKEN * corpus.max_tokens)
        if words >= enough and characters >= LEAST_CHARACTERS:
            break
    whole = number == len(names)
    note = {
        "commit": commit,
        "files": names[:number],
        "max_tokens": None if whole else corpus.max_tokens,
    }
    write_once(_note(corpus), json.dumps(note).encode())


def _note(corpus: HubCorpus) -> Path:
    key = json.dumps([corpus.name, corpus.config, corpus.split])
    name = hashlib.sha256(key.encode()).hexdigest()
    return settings().cache / "hub" / f"{name}.json"

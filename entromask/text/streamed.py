"""A corpus on the Hugging Face Hub, streamed by `datasets`: it is never on the disk as a whole.

Unless `entromask prefetch` has brought it: then the copy is read, which needs no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from entromask.errors import DependencyMissingError, InputError
from entromask.hub import hub_errors
from entromask.spec import HubCorpus
from entromask.text.corpus import Corpus, fingerprint_of
from entromask.text.documents import LONGEST, Text, parts_of
from entromask.text.files import checked_text, missing_column, unicode_text
from entromask.text.local_copy import LocalCopy, fetch_copy, find_copy


def open_hub_corpus(corpus: HubCorpus) -> Corpus:
    """Opens a data set by its name on the Hub, or by the path of a local data set folder.

    Raises:
        InputError: it has no such config, split or column, or no rows.
        DependencyMissingError: it is not on the Hub, or the Hub cannot be reached.
    """
    with _errors(corpus):
        copy = None if _is_local(corpus) else find_copy(corpus)
        commit = _commit(corpus, copy)
        if copy is not None and copy.commit != commit:
            copy = None  # the data set on the Hub has changed since
        revision = None if _is_local(corpus) else commit
        dataset = _load(corpus, revision, copy)
        first = next(_rows(corpus, dataset), None)
    if first is None:
        raise InputError(f"{_what(corpus)} has no rows", "name another split")
    if corpus.column not in first:
        raise missing_column(_what(corpus), corpus.column, list(first))
    checked_text(first[corpus.column], _what(corpus), corpus.column)
    name = corpus.name if corpus.config is None else f"{corpus.name}/{corpus.config}"
    return Corpus(
        f"{name} ({corpus.split})",
        fingerprint_of("hub", corpus.name, corpus.config, corpus.split, corpus.column, commit),
        _size(dataset, corpus.split),
        lambda: _documents(corpus, revision, copy),
    )


def prefetch_hub_corpus(corpus: HubCorpus) -> str:
    """Brings the files of the split into the Hub's cache; returns what is here, in words.

    With corpus.max_tokens, only as many of them as a run can need. Without a network, a copy that
    is here already will do.

    Raises:
        InputError, DependencyMissingError: as `open_hub_corpus`.
        DiskFullError: there is no room for it.
    """
    open_hub_corpus(corpus)  # refuses what cannot be used before all of it is downloaded
    if not _is_local(corpus):
        with _errors(corpus):
            copy = find_copy(corpus)
            commit = _commit(corpus, copy)
            if copy is None or copy.commit != commit:
                addresses = _data_files(corpus, commit)
                fetch_copy(corpus, commit, addresses, lambda part: _measure(corpus, part))
    return _what(corpus)


def _measure(corpus: HubCorpus, copy: LocalCopy) -> tuple[int, int]:
    """How many words and characters a copy holds."""
    words = characters = 0
    rows = _load(corpus, None, copy).select_columns([corpus.column])
    for row in _rows(corpus, rows):
        text = checked_text(row.get(corpus.column), _what(corpus), corpus.column) or ""
        words += len(text.split())
        characters += len(text)
    return words, characters


def _what(corpus: HubCorpus) -> str:
    config = "" if corpus.config is None else f", config '{corpus.config}'"
    return f"the data set '{corpus.name}'{config}, split '{corpus.split}'"


def _is_local(corpus: HubCorpus) -> bool:
    return Path(corpus.name).is_dir()


def _errors(corpus: HubCorpus, copy: LocalCopy | None = None) -> Any:
    if copy is not None or _is_local(corpus):
        return nullcontext()
    return hub_errors(f"the data set '{corpus.name}'")


def _load(corpus: HubCorpus, revision: str | None, copy: LocalCopy | None) -> Any:
    """The stream of rows, from the Hub at a revision, or from the copy of that revision."""

    def load(datasets: Any) -> Any:
        options: dict[str, Any] = {"split": corpus.split, "streaming": True}
        if copy is None:
            return datasets.load_dataset(corpus.name, corpus.config, revision=revision, **options)
        # The card beside the files says how to read them, the list which of them to read.
        files = {corpus.split: copy.files}
        return datasets.load_dataset(str(copy.folder), corpus.config, data_files=files, **options)

    return _opened(corpus, load)


def _data_files(corpus: HubCorpus, revision: str) -> dict[str, Any]:
    """The addresses of each split's files."""

    def load(datasets: Any) -> Any:
        builder = datasets.load_dataset_builder(corpus.name, corpus.config, revision=revision)
        return dict(builder.config.data_files or {})

    files: dict[str, Any] = _opened(corpus, load)
    return files


def _opened(corpus: HubCorpus, load: Callable[[Any], Any]) -> Any:
    """What `load` gives when called with the package datasets."""
    try:
        import datasets
    except ImportError:
        raise DependencyMissingError(
            f"{_what(corpus)} needs the package datasets", "pip install 'entromask[evaluation]'"
        ) from None
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        return load(datasets)
    except (ValueError, datasets.exceptions.DataFilesNotFoundError) as error:
        # An unknown config or split: the message lists those that exist.
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(
            f"{_what(corpus)} cannot be opened: {reason}", "check corpus.config and corpus.split"
        ) from None


def _documents(corpus: HubCorpus, revision: str | None, copy: LocalCopy | None) -> Iterator[Text]:
    with _errors(corpus, copy):
        dataset = _load(corpus, revision, copy).select_columns([corpus.column])
        for number, row in enumerate(_rows(corpus, dataset), start=1):
            where = f"{_what(corpus)}, row {number:,}"
            text = checked_text(row.get(corpus.column), where, corpus.column)
            document = unicode_text(Text(text or "", number, origin=where))
            yield from parts_of(document, LONGEST)
        if copy is not None and not copy.whole:
            # Never silently less text than the stream would give.
            raise InputError(
                f"the part of {_what(corpus)} that was prefetched is too short for this run",
                "run `entromask prefetch` without corpus.max_tokens",
            )


def _rows(corpus: HubCorpus, dataset: Any) -> Iterator[dict[str, Any]]:
    try:
        yield from dataset
    except OSError:
        raise
    except Exception as error:
        # datasets wraps what its readers (json, pyarrow) say about a broken file.
        reason = " ".join(str(error.__cause__ or error).split())[:200].rstrip(".")
        raise InputError(
            f"{_what(corpus)} cannot be read: {reason}", "check the data set's files"
        ) from None


def _size(dataset: Any, split: str) -> int:
    """The number of rows where the data set's card tells it, else 0."""
    splits = dataset.info.splits or {}
    return int(splits[split].num_examples or 0) if split in splits else 0


def _commit(corpus: HubCorpus, copy: LocalCopy | None) -> str:
    """What stands for the content: the commit on the Hub, or a local folder's file states.

    Without the Hub it is that of the copy.
    """
    if _is_local(corpus):
        folder = Path(corpus.name)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        states = [
            [str(file.relative_to(folder)), file.stat().st_size, file.stat().st_mtime_ns]
            for file in files
        ]
        return hashlib.sha256(repr(states).encode()).hexdigest()
    from huggingface_hub import HfApi, constants

    if copy is not None and constants.HF_HUB_OFFLINE:
        return copy.commit
    return str(HfApi().dataset_info(corpus.name).sha)

"""A corpus: a stream of training documents and one of validation documents, with a fingerprint."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from entromask import spec
from entromask.errors import InputError
from entromask.settings import settings
from entromask.text.builtin import builtin_documents
from entromask.text.cache import write_once
from entromask.text.documents import SPLITS, Split, Text, bounded, divided, held_out
from entromask.text.files import SUFFIXES, read_documents, suffix_of

# Raise it when the same files come to give other documents.
_VERSION = 1
# How much of a file is read before anything is written: most mistakes show there.
_CHECKED = 1024 * 1024


class Document(NamedTuple):
    """A document, or a part of one, in its split; the other fields are those of `Text`."""

    split: Split
    text: str
    position: int
    begins: bool = True
    replaced: int = 0
    long_field: bool = False
    origin: str = ""


class Corpus:
    """Documents that can be streamed any number of times, always in the same order.

    Attributes:
        name: for people.
        fingerprint: SHA-256 of the content and of all that decides how it is read.
        size: the unit of `Document.position`; 0 where nobody knows.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        size: int,
        train: Callable[[], Iterator[Text]],
        validation: Callable[[], Iterator[Text]] | None = None,
    ) -> None:
        """Without `validation`, about one document in 20 of `train` is held out for it."""
        self.name = name
        self.fingerprint = fingerprint
        self.size = size
        self._train = train
        self._validation = validation

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of one split. They are checked while they stream.

        Raises:
            InputError: the text turns out to be broken further on.
        """
        for splits, documents in self.passes():
            if split in splits:
                yield from (document.text for document in documents if document.split == split)

    @property
    def holds_out(self) -> bool:
        """Whether the validation documents are taken from the training text."""
        return self._validation is None

    def passes(self) -> list[tuple[tuple[Split, ...], Iterator[Document]]]:
        """All documents, in one stream of both splits or in one stream a split; read lazily."""
        if self._validation is None:
            return [(SPLITS, self._mixed())]
        return [
            (("train",), _labelled("train", self._train)),
            (("validation",), _labelled("validation", self._validation)),
        ]

    def _mixed(self) -> Iterator[Document]:
        for number, document in enumerate(divided(self._train())):
            yield Document("validation" if held_out(number) else "train", *document)


def _labelled(split: Split, source: Callable[[], Iterator[Text]]) -> Iterator[Document]:
    for document in source():
        yield Document(split, *document)


def open_corpus(corpus: spec.Corpus) -> Corpus:
    """The corpus that a spec names; the beginning of its text has been checked.

    Raises:
        InputError: it is missing, empty, binary, not UTF-8, of an unknown format or without the
            column that is asked for.
        DependencyMissingError: it is on the Hub, and the Hub or a package is not at hand.
    """
    if isinstance(corpus, spec.BuiltinCorpus):
        return _builtin()
    if isinstance(corpus, spec.LocalCorpus):
        return _local(corpus)
    if isinstance(corpus, spec.UploadCorpus):
        return _local(_uploaded(corpus))
    from entromask.text.streamed import open_hub_corpus

    return open_hub_corpus(corpus)


def fingerprint_of(*parts: Any) -> str:
    """SHA-256 over plain data."""
    return hashlib.sha256(json.dumps([_VERSION, *parts]).encode()).hexdigest()


def _builtin() -> Corpus:
    documents = [part for text in builtin_documents() for part in bounded(text)]

    def train() -> Iterator[Text]:
        return (Text(text, number + 1) for number, text in enumerate(documents))

    return Corpus("builtin", fingerprint_of("builtin", documents), len(documents), train)


def _local(corpus: spec.LocalCorpus) -> Corpus:
    train, validation = _find(Path(corpus.path).expanduser())
    files = [train] if validation is None else [train, validation]

    def source(file: Path) -> Callable[[], Iterator[Text]]:
        return lambda: read_documents(file, corpus.column)

    for file in files:
        _check(file, source(file))
    parts = []
    for file in files:
        column = None if suffix_of(file) == ".txt" else corpus.column
        parts.append([suffix_of(file), column, _content_hash(file)])
    return Corpus(
        corpus.path,
        fingerprint_of("local", parts),
        sum(file.stat().st_size for file in files),
        source(train),
        None if validation is None else source(validation),
    )


def _uploaded(corpus: spec.UploadCorpus) -> spec.LocalCorpus:
    """The file that the service has stored for an upload; read like any local file."""
    folder = settings().corpora / corpus.id
    names = {"corpus" + suffix + packed for suffix in SUFFIXES for packed in ("", ".gz")}
    files = [folder / name for name in sorted(names) if (folder / name).is_file()]
    if not files:
        raise InputError(
            f"no uploaded corpus '{corpus.id}' in {settings().corpora}",
            "upload it to the service of this ENTROMASK_HOME, or use source: local with its path",
        )
    return spec.LocalCorpus(source="local", path=str(files[0]), column=corpus.column)


def _find(path: Path) -> tuple[Path, Path | None]:
    """The training file, and the validation file if there is one."""
    allowed = ", ".join(SUFFIXES) + ", each also .gz"
    if path.is_dir():
        train = _one_of(path, "train")
        if train is None:
            raise InputError(
                f"the corpus folder {path} has no train.* file; allowed: {allowed}",
                "name a text file itself, or call it train.txt",
            )
        return train, _one_of(path, "validation")
    if not path.exists():
        raise InputError(
            f"no corpus at {path}",
            "check corpus.path: a relative path starts from the current folder",
        )
    if suffix_of(path) not in SUFFIXES:
        raise InputError(
            f"{path} has the suffix '{''.join(path.suffixes[-2:])}'; allowed: {allowed}",
            "plain text has to be called .txt",
        )
    return path, None


def _one_of(folder: Path, split: str) -> Path | None:
    found = sorted(
        file
        for file in folder.iterdir()
        if file.name.lower().removesuffix(".gz") in {split + suffix for suffix in SUFFIXES}
    )
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(
            f"the corpus folder {folder} has several {split} files: {names}", "keep one of them"
        )
    return found[0] if found else None


def _check(file: Path, source: Callable[[], Iterator[Text]]) -> None:
    hint = "name a file with text in it"
    if file.is_file() and file.stat().st_size == 0:
        raise InputError(f"{file} is empty", hint)
    characters = 0
    documents = source()
    for document in itertools.islice(documents, 1000):
        characters += len(document.text)
        if characters > _CHECKED:
            break
    if not characters:
        raise InputError(f"{file} holds no text", hint)


def _content_hash(file: Path) -> str:
    """SHA-256 of a file's bytes, remembered for as long as its size and time stay the same."""
    real = file.resolve()
    state = real.stat()
    known = [str(real), state.st_size, state.st_mtime_ns]
    name = hashlib.sha256(os.fsencode(real)).hexdigest()
    memo = settings().cache / "hashes" / f"{name}.json"
    try:
        *remembered, digest = json.loads(memo.read_text(encoding="utf-8"))
        if remembered == known:
            return str(digest)
    except (OSError, ValueError):
        pass
    with real.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    write_once(memo, json.dumps([*known, digest]).encode())
    return str(digest)

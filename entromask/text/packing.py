"""Packs a corpus into rows of one length, in memory-mapped files that are built once and cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entromask.errors import InputError
from entromask.settings import settings
from entromask.text.cache import build_once
from entromask.text.corpus import Corpus, Document
from entromask.text.documents import HELD_OUT_OF, SPLITS, Split
from entromask.text.rows import RowCutter
from entromask.text.tokenizer import encoder, tokenizer_fingerprint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Raise it when the same text comes to give other rows.
_VERSION = 1
# Characters that are encoded at once: enough for all cores, little memory.
_CHUNK = 512 * 1024
# Held-out rows that a corpus under a limit has at least, if its text suffices.
_FEWEST_HELD_OUT = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PackedCorpus:
    """The rows of a corpus, read from the disk as they are used.

    Attributes:
        fingerprint: SHA-256 of text, tokenizer, row length and limit.
        train: [N, T] token ids, a read-only memory map of uint16 or uint32.
        validation: [M, T], the same.
        counts: [V] int64, how often each type occurs in the train rows; 0 for special tokens.
        folder: where the files are.
    """

    fingerprint: str
    train: NDArray[Any]
    validation: NDArray[Any]
    counts: NDArray[np.int64]
    folder: Path


def pack(
    corpus: Corpus,
    tokenizer: PreTrainedTokenizerBase,
    sequence_length: int,
    max_tokens: int | None,
    on_progress: Progress | None = None,
) -> PackedCorpus:
    """Tokenizes a corpus into rows of `sequence_length` tokens, or finds them in the cache.

    A row is [CLS], the tokens of documents with [SEP] between them, and [SEP]: full, without
    padding; what does not fill a row at the end is left out. With `max_tokens`, the training rows
    hold at most so many tokens, and no more is read; the text held out is limited to a 20th of it.

    Args:
        on_progress: called with what is done, and of how much (0 where nobody knows): in tokens
            with `max_tokens`, else in the corpus's own unit. Not called when the rows are cached.

    Raises:
        InputError: a split does not fill one row, or the text is broken further on.
        DiskFullError: there is no room. Nothing half-written stays behind.
    """
    limit = None if max_tokens is None else max_tokens // sequence_length
    if limit == 0:
        raise InputError(
            f"corpus.max_tokens {max_tokens:,} is less than one row of {sequence_length:,} tokens",
            "raise corpus.max_tokens, or lower pretraining.sequence_length",
        )
    folder = _folder(corpus.fingerprint, tokenizer, sequence_length, limit)

    def build(place: Path) -> None:
        _Packing(corpus, tokenizer, sequence_length, limit, on_progress).write(place)

    build_once(folder, build, _is_whole, "the packed corpus")
    meta = _meta(folder)
    rows = {split: _open_rows(folder, split, meta) for split in SPLITS}
    return PackedCorpus(folder.name, **rows, counts=np.load(folder / "counts.npy"), folder=folder)


def cached_counts(
    corpus_fingerprint: str,
    tokenizer: PreTrainedTokenizerBase,
    sequence_length: int,
    max_tokens: int | None,
) -> NDArray[np.int64] | None:
    """The counts [V] of a corpus that was packed on this machine; None where it is not cached."""
    limit = None if max_tokens is None else max_tokens // sequence_length
    folder = _folder(corpus_fingerprint, tokenizer, sequence_length, limit)
    return np.load(folder / "counts.npy") if _is_whole(folder) else None


def _folder(
    corpus_fingerprint: str, tokenizer: PreTrainedTokenizerBase, length: int, limit: int | None
) -> Path:
    """The place in the cache, named by all that the rows depend on."""
    key = [_VERSION, corpus_fingerprint, tokenizer_fingerprint(tokenizer), length, limit]
    return settings().cache / "packed" / hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _rows_file(folder: Path, split: Split) -> Path:
    return folder / f"{split}.bin"


def _meta(folder: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return meta


def _open_rows(folder: Path, split: Split, meta: dict[str, Any]) -> NDArray[Any]:
    shape = (meta["rows"][split], meta["sequence_length"])
    return np.memmap(_rows_file(folder, split), dtype=meta["dtype"], mode="r", shape=shape)


def _is_whole(folder: Path) -> bool:
    """Whether every file is there in its full size: somebody may have tidied up the cache."""
    try:
        meta = _meta(folder)
        width = np.dtype(meta["dtype"]).itemsize * meta["sequence_length"]
        return (folder / "counts.npy").is_file() and all(
            _rows_file(folder, split).stat().st_size == meta["rows"][split] * width
            for split in SPLITS
        )
    except (OSError, ValueError, KeyError):
        return False


class _Packing:
    """One way through a corpus, from text to the files of the cache."""

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: PreTrainedTokenizerBase,
        length: int,
        limit: int | None,
        on_progress: Progress | None,
    ) -> None:
        # Ids may have gaps, so that the largest can exceed the number of tokens.
        size = max(len(tokenizer), max(tokenizer.get_vocab().values()) + 1)
        dtype = np.dtype(np.uint16 if size <= 65536 else np.uint32)
        self.corpus, self.length, self.on_progress = corpus, length, on_progress
        self.limits: dict[Split, int | None] = {"train": limit, "validation": None}
        if limit is not None and corpus.holds_out:
            self.limits["validation"] = max(_FEWEST_HELD_OUT, limit // HELD_OUT_OF)
        self.encode = encoder(tokenizer)
        self.special = np.zeros(size, dtype=bool)
        self.special[list(tokenizer.all_special_ids)] = True
        # Of the special tokens, only [UNK] can stand for something in a text.
        self.framing = self.special.copy()
        if tokenizer.unk_token_id is not None:
            self.framing[tokenizer.unk_token_id] = False
        self.counts = np.zeros(size, dtype=np.int64)
        frame = [tokenizer.cls_token, tokenizer.sep_token]
        start, separator = tokenizer.convert_tokens_to_ids(frame)
        self.cutters = {split: RowCutter(length, start, separator, dtype) for split in SPLITS}
        self.written: dict[Split, int] = dict.fromkeys(SPLITS, 0)

    def write(self, folder: Path) -> None:
        with ExitStack() as stack:
            files: dict[Split, IO[bytes]] = {
                split: stack.enter_context(_rows_file(folder, split).open("wb")) for split in SPLITS
            }
            for splits, documents in self.corpus.passes():
                for chunk in _chunks(documents):
                    for split in splits:
                        self._add([one.text for one in chunk if one.split == split], split, files)
                    self._report(chunk[-1].position)
                    if all(self._is_full(split) for split in splits):
                        break
        for split in SPLITS:
            self._check(split)
        self.counts[self.special] = 0
        np.save(folder / "counts.npy", self.counts)
        meta = {
            "rows": self.written,
            "sequence_length": self.length,
            "dtype": self.cutters["train"].dtype.name,
        }
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        self._report(None)

    def _is_full(self, split: Split) -> bool:
        limit = self.limits[split]
        return limit is not None and self.written[split] >= limit

    def _add(self, texts: list[str], split: Split, files: dict[Split, IO[bytes]]) -> None:
        if not texts or self._is_full(split):
            return
        cutter, limit = self.cutters[split], self.limits[split]
        documents = [np.array(ids, dtype=cutter.dtype) for ids in self.encode(texts)]
        rows = cutter.cut([ids[~self.framing[ids]] for ids in documents])
        if limit is not None:
            rows = rows[: limit - self.written[split]]
        if split == "train":
            self.counts += np.bincount(rows.ravel(), minlength=len(self.counts))
        files[split].write(rows.tobytes())
        self.written[split] += len(rows)

    def _check(self, split: Split) -> None:
        if self.written[split]:
            return
        tokens = self.cutters[split].tokens
        held_out = split == "validation" and self.corpus.holds_out
        more = ", or put a validation file beside train.*" if held_out else ""
        raise InputError(
            f"the {'held-out' if held_out else split} text of the corpus '{self.corpus.name}' has "
            f"{tokens:,} tokens, too few for one row of {self.length:,}",
            f"add text, or lower pretraining.sequence_length{more}",
        )

    def _report(self, position: int | None) -> None:
        """Tells how far it is; `position` None is the end."""
        if self.on_progress is None:
            return
        limit = self.limits["train"]
        total = self.corpus.size if limit is None else limit * self.length
        done = position if limit is None else self.written["train"] * self.length
        self.on_progress(total if position is None or done is None else done, total)


def _chunks(documents: Iterator[Document]) -> Iterator[list[Document]]:
    """Consecutive documents of about _CHUNK characters in all."""
    chunk: list[Document] = []
    characters = 0
    for document in documents:
        chunk.append(document)
        characters += len(document.text)
        if characters >= _CHUNK:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk

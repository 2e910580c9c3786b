"""Packs a corpus into rows of one length, in memory-mapped files that are built once and cached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entromask.errors import InputError
from entromask.settings import settings
from entromask.text.cache import build_once
from entromask.text.corpus import Corpus, Document
from entromask.text.documents import HELD_OUT_OF, SPLITS, Split
from entromask.text.encoding import encoder, frame_ids, word_encoder
from entromask.text.rows import RowCutter
from entromask.text.statistics import Notes, TextStatistics
from entromask.text.tokenizer import tokenizer_fingerprint
from entromask.text.unknown import UnknownText

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Raise it when the same text comes to give other files.
_VERSION = 3
# Characters that are encoded at once: enough for all cores, little memory.
_CHUNK = 512 * 1024
# Held-out rows that a corpus under a limit has at least, if its text suffices.
_FEWEST_HELD_OUT = 64
# The highest bit of a token on its way into a row: it begins a word.
_BEGINS = np.uint32(1 << 31)

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
        text: counts of the text that was packed.
        words: see `train_words`; None where the tokenizer does not know.
    """

    fingerprint: str
    train: NDArray[Any]
    validation: NDArray[Any]
    counts: NDArray[np.int64]
    folder: Path
    text: TextStatistics = field(default_factory=TextStatistics)
    words: NDArray[np.bool_] | None = None

    @property
    def train_words(self) -> NDArray[np.bool_]:
        """[N, T] bool, a read-only memory map: whether the token begins a word; special tokens do.

        Raises:
            InputError: the tokenizer does not know where words begin.
        """
        if self.words is None:
            raise InputError(
                "the tokenizer is in pure Python and does not know where words begin, which "
                "masking.unit 'word' and 'span' need",
                "save the tokenizer as tokenizer.json, or use masking.unit: token",
            )
        return self.words


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
    return _opened(folder)


def cached_corpus(
    corpus_fingerprint: str,
    tokenizer: PreTrainedTokenizerBase,
    sequence_length: int,
    max_tokens: int | None,
) -> PackedCorpus | None:
    """A corpus that was packed on this machine; None where it is not in the cache any more."""
    limit = None if max_tokens is None else max_tokens // sequence_length
    folder = _folder(corpus_fingerprint, tokenizer, sequence_length, limit)
    return _opened(folder) if _is_whole(folder) else None


def _opened(folder: Path) -> PackedCorpus:
    meta = _meta(folder)
    rows = {split: _open_rows(folder, split, meta) for split in SPLITS}
    words = _open_words(folder, meta) if meta["words"] else None
    counts = np.load(folder / "counts.npy")
    text = TextStatistics.from_data(meta["text"])
    return PackedCorpus(folder.name, **rows, counts=counts, folder=folder, text=text, words=words)


def _folder(
    corpus_fingerprint: str, tokenizer: PreTrainedTokenizerBase, length: int, limit: int | None
) -> Path:
    """The place in the cache, named by all that the rows depend on."""
    key = [_VERSION, corpus_fingerprint, tokenizer_fingerprint(tokenizer), length, limit]
    return settings().cache / "packed" / hashlib.sha256(json.dumps(key).encode()).hexdigest()


def _rows_file(folder: Path, split: Split) -> Path:
    return folder / f"{split}.bin"


def _words_file(folder: Path) -> Path:
    return folder / "train.words"


def _meta(folder: Path) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    return meta


def _open_rows(folder: Path, split: Split, meta: dict[str, Any]) -> NDArray[Any]:
    shape = (meta["rows"][split], meta["sequence_length"])
    return np.memmap(_rows_file(folder, split), dtype=meta["dtype"], mode="r", shape=shape)


def _open_words(folder: Path, meta: dict[str, Any]) -> NDArray[np.bool_]:
    shape = (meta["rows"]["train"], meta["sequence_length"])
    return np.memmap(_words_file(folder), dtype=np.bool_, mode="r", shape=shape)


def _is_whole(folder: Path) -> bool:
    """Whether every file is there in its full size: somebody may have tidied up the cache."""
    try:
        meta = _meta(folder)
        tokens = {split: meta["rows"][split] * meta["sequence_length"] for split in SPLITS}
        width = np.dtype(meta["dtype"]).itemsize
        sizes = {_rows_file(folder, split): tokens[split] * width for split in SPLITS}
        if meta["words"]:
            sizes[_words_file(folder)] = tokens["train"]
        return (
            "text" in meta
            and (folder / "counts.npy").is_file()
            and all(file.stat().st_size == size for file, size in sizes.items())
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
        self.dtype = np.dtype(np.uint16 if size <= 65536 else np.uint32)
        self.corpus, self.length, self.on_progress = corpus, length, on_progress
        self.limits: dict[Split, int | None] = {"train": limit, "validation": None}
        if limit is not None and corpus.holds_out:
            self.limits["validation"] = max(_FEWEST_HELD_OUT, limit // HELD_OUT_OF)
        self.encode, self.encode_words = encoder(tokenizer), word_encoder(tokenizer)
        self.special = np.zeros(size, dtype=bool)
        self.special[frame_ids(tokenizer)] = True
        # Of the frame tokens, only [UNK] can stand for something in a text.
        self.framing = self.special.copy()
        if tokenizer.unk_token_id is not None:
            self.framing[tokenizer.unk_token_id] = False
        self.counts = np.zeros(size, dtype=np.int64)
        frame = [tokenizer.cls_token, tokenizer.sep_token]
        start, separator = (_BEGINS | one for one in tokenizer.convert_tokens_to_ids(frame))
        self.cutters = {split: RowCutter(length, start, separator, np.uint32) for split in SPLITS}
        self.words_file: IO[bytes] | None = None
        self.written: dict[Split, int] = dict.fromkeys(SPLITS, 0)
        self.documents: dict[Split, int] = dict.fromkeys(SPLITS, 0)
        self.notes = Notes()
        self.unknown = UnknownText(tokenizer)

    def write(self, folder: Path) -> None:
        with ExitStack() as stack:
            files: dict[Split, IO[bytes]] = {
                split: stack.enter_context(_rows_file(folder, split).open("wb")) for split in SPLITS
            }
            if self.encode_words is not None:
                self.words_file = stack.enter_context(_words_file(folder).open("wb"))
            for splits, documents in self.corpus.passes():
                for chunk in _chunks(documents):
                    for split in splits:
                        self._add([one for one in chunk if one.split == split], split, files)
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
            "dtype": self.dtype.name,
            "words": self.encode_words is not None,
            "text": self._statistics().data(),
        }
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        self._report(None)

    def _is_full(self, split: Split) -> bool:
        limit = self.limits[split]
        return limit is not None and self.written[split] >= limit

    def _statistics(self) -> TextStatistics:
        return TextStatistics(
            documents=self.documents["train"],
            rows=self.written["train"],
            tokens=self.written["train"] * self.length,
            validation_documents=self.documents["validation"],
            validation_rows=self.written["validation"],
            **asdict(self.notes),
            **self.unknown.counts.data(),
        )

    def _add(self, documents: list[Document], split: Split, files: dict[Split, IO[bytes]]) -> None:
        if not documents or self._is_full(split):
            return
        for document in documents:
            self.documents[split] += document.begins
            self.notes.add(document)
        cutter, limit = self.cutters[split], self.limits[split]
        rows = cutter.cut(list(self._encoded([one.text for one in documents], split)))
        if limit is not None:
            rows = rows[: limit - self.written[split]]
        if split == "train" and self.words_file is not None:
            self.words_file.write((rows >= _BEGINS).tobytes())
        tokens = (rows & ~_BEGINS).astype(self.dtype)
        if split == "train":
            self.counts += np.bincount(tokens.ravel(), minlength=len(self.counts))
        files[split].write(tokens.tobytes())
        self.written[split] += len(tokens)

    def _encoded(self, texts: list[str], split: Split) -> Iterator[NDArray[np.uint32]]:
        """The tokens of each text, with the bit for where words begin in training texts."""
        if split == "validation" or self.encode_words is None:
            for text, one in zip(texts, self.encode(texts), strict=True):
                tokens = np.array(one, dtype=np.uint32)
                if split == "train":
                    self.unknown.add((text,), tokens)
                yield tokens[~self.framing[tokens]]
        else:
            for text, (ids, begins) in zip(texts, self.encode_words(texts), strict=True):
                self.unknown.add((text,), ids)
                usable = ~self.framing[ids]
                yield (ids.astype(np.uint32) | begins * _BEGINS)[usable]

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

"""Trains an uncased WordPiece vocabulary, the same one each time.

`tokenizers` breaks ties by ids that it gives in the order of a randomly seeded hash map, so that
two trainings differ. Here every character has its id before the training starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_PREFIX = "##"
# Raise it when the same documents come to give another vocabulary.
_VERSION = 1
# More text hardly changes a vocabulary: the training stops after so many characters.
_LONGEST_TRAINING = 200_000_000
_MOST_CHARACTERS = 1000
_BATCH = 256


def recipe() -> list[Any]:
    """What the vocabulary depends on beside the documents: part of the cache's key."""
    import tokenizers

    return [_VERSION, _LONGEST_TRAINING, tokenizers.__version__]


def train_wordpiece(
    documents: Callable[[], Iterable[str]], vocab_size: int
) -> PreTrainedTokenizerFast:
    """A BERT tokenizer (lower case, no accents) with at most `vocab_size` types.

    Args:
        documents: gives the training documents anew at each call; they are read twice.
    """
    from tokenizers import models, trainers

    trained = _pipeline(models.WordPiece(unk_token="[UNK]", continuing_subword_prefix=_PREFIX))
    characters = _alphabet(trained, documents(), vocab_size)
    inner = [_PREFIX + one for one in characters if _can_continue(trained, one)]
    trained.train_from_iterator(
        _batches(documents()),
        trainers.WordPieceTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            show_progress=False,
            # These get the first ids, in this order; exactly these characters are known.
            special_tokens=[*SPECIAL_TOKENS, *characters, *inner],
            initial_alphabet=characters,
            limit_alphabet=len(characters),
            continuing_subword_prefix=_PREFIX,
        ),
    )
    # Rebuilt, since the trainer has made special tokens of the characters.
    vocabulary = dict(sorted(trained.get_vocab().items(), key=lambda item: item[1]))
    final: Tokenizer = _pipeline(
        models.WordPiece(vocabulary, unk_token="[UNK]", continuing_subword_prefix=_PREFIX)
    )
    final.add_special_tokens(list(SPECIAL_TOKENS))
    return _wrapped(final)


def _pipeline(model: Any) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=_PREFIX)
    return tokenizer


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        # No token types: packed rows have one segment, so a second one's embedding stays
        # untrained; and most architectures know none.
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def _training_text(documents: Iterable[str]) -> Iterator[str]:
    characters = 0
    for document in documents:
        yield document
        characters += len(document)
        if characters >= _LONGEST_TRAINING:
            return


def _batches(documents: Iterable[str]) -> Iterator[list[str]]:
    text = _training_text(documents)
    while batch := list(itertools.islice(text, _BATCH)):
        yield batch


def _alphabet(tokenizer: Tokenizer, documents: Iterable[str], vocab_size: int) -> list[str]:
    """The most frequent characters after normalisation, in code point order."""
    raw = np.zeros(0x110000, dtype=np.int64)
    for batch in _batches(documents):
        points = np.frombuffer("".join(batch).encode("utf-32-le", "replace"), dtype=np.uint32)
        counts = np.bincount(points)
        raw[: len(counts)] += counts
    normalized: dict[str, int] = {}
    for point in np.flatnonzero(raw).tolist():
        for one in tokenizer.normalizer.normalize_str(chr(point)):
            if not one.isspace():
                normalized[one] = normalized.get(one, 0) + int(raw[point])
    # A small vocabulary has to keep room for more than characters, which count twice.
    most = min(_MOST_CHARACTERS, (vocab_size - len(SPECIAL_TOKENS)) // 4)
    ranked = sorted(normalized, key=lambda one: (-normalized[one], one))
    return sorted(ranked[:most])


def _can_continue(tokenizer: Tokenizer, character: str) -> bool:
    """Whether a character can stand inside a word; punctuation is a word of its own."""
    return len(tokenizer.pre_tokenizer.pre_tokenize_str("a" + character)) == 1

"""A trained tokenizer in words, with the size that came out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from entromask.spec import TrainedTokenizer

_ALGORITHMS = {
    "wordpiece": "WordPiece",
    "byte-bpe": "byte-level BPE",
    "unigram": "unigram (SentencePiece)",
}


def vocabulary_words(
    tokenizer: TrainedTokenizer, results: Mapping[str, Any], environment: Mapping[str, Any]
) -> str:
    """Return words such as "uncased WordPiece vocabulary of 8,192 types with accents kept".

    Args:
        results, environment: of the run; where neither has recorded a size, the one that the
            spec asked for is an upper bound.
    """
    recorded = results.get("tokenizer") or environment.get("tokenizer") or {}
    size, requested = recorded.get("vocab_size"), tokenizer.vocab_size
    if size is None:
        types = f"at most {requested:,} types"
    else:
        types = f"{size:,} types" + (f" ({requested:,} requested)" if size != requested else "")
    case = "uncased" if tokenizer.lowercase else "cased"
    marks = "accents and combining marks removed"
    if tokenizer.strip_accents is False:
        marks = "accents and combining marks kept"
    return f"{case} {_ALGORITHMS[tokenizer.algorithm]} vocabulary of {types}, {marks},"

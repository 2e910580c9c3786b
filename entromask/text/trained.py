"""Trains the tokenizer that a spec describes, the same bytes each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask.parts.data import TrainedTokenizer
from entromask.text.alphabet import COVERAGE, Alphabet
from entromask.text.byte_bpe import train_byte_bpe
from entromask.text.unigram import train_unigram
from entromask.text.unknown import name_of
from entromask.text.vocabulary import LONGEST_TRAINING, SPECIAL_TOKENS, Documents
from entromask.text.wordpiece import train_wordpiece

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

# Raise it when the same documents come to give another vocabulary.
_VERSION = 1
_REPORT = "training.json"
# A vocabulary smaller than this share of what was asked for is worth a warning.
_MUCH_SMALLER = 0.9


@dataclass(frozen=True)
class Training:
    """What came out of a training.

    Attributes:
        covered: share of the text's characters that the vocabulary holds, spaces aside.
        missing: the most frequent characters that it lacks, with their counts.
    """

    algorithm: str
    requested_vocab_size: int
    vocab_size: int
    covered: float
    missing: Sequence[tuple[str, int]]

    def warnings(self) -> list[str]:
        """Return a sentence for each thing that was asked for and not obtained."""
        found = []
        if self.covered < COVERAGE:
            characters = ", ".join(f"{name_of(one)} ({count:,})" for one, count in self.missing)
            found.append(
                f"the vocabulary of {self.requested_vocab_size:,} types cannot hold every "
                f"character of the corpus: {1 - self.covered:.2%} of its characters are unknown, "
                f"most often {characters}; raise tokenizer.vocab_size, or set "
                "tokenizer.algorithm to byte-bpe"
            )
        if self.vocab_size < _MUCH_SMALLER * self.requested_vocab_size:
            found.append(
                f"the trained vocabulary has {self.vocab_size:,} types, not the "
                f"{self.requested_vocab_size:,} of tokenizer.vocab_size: the corpus has no more "
                "that occur twice"
            )
        return found


def train_tokenizer(
    documents: Documents, wanted: TrainedTokenizer
) -> tuple[PreTrainedTokenizerFast, Training]:
    """Train a tokenizer with at most `wanted.vocab_size` types.

    Args:
        documents: returns the training documents anew at each call.
    """
    how = (documents, wanted.vocab_size, wanted.lowercase)
    alphabet = Alphabet([], [], covered=1.0, missing=[])
    if wanted.algorithm == "byte-bpe":
        tokenizer = train_byte_bpe(*how, bool(wanted.strip_accents))
    elif wanted.algorithm == "unigram":
        tokenizer, alphabet = train_unigram(*how, bool(wanted.strip_accents))
    else:
        tokenizer, alphabet = train_wordpiece(*how, wanted.strip_accents)
    wrapped = _wrapped(tokenizer)
    training = Training(
        algorithm=wanted.algorithm,
        requested_vocab_size=wanted.vocab_size,
        vocab_size=len(wrapped),
        covered=alphabet.covered,
        missing=alphabet.missing,
    )
    return wrapped, training


def recipe(wanted: TrainedTokenizer) -> list[Any]:
    """Return what the vocabulary depends on beside the documents: part of the cache's key."""
    import tokenizers

    asked: Any = wanted.model_dump(exclude={"source"})
    if wanted.strip_accents is None:
        asked = wanted.vocab_size  # the key of vocabularies from before the other keys
    return [asked, [_VERSION, LONGEST_TRAINING, tokenizers.__version__]]


def save_trained(tokenizer: PreTrainedTokenizerFast, training: Training, folder: Path) -> None:
    """Write a tokenizer folder with a report of the training."""
    tokenizer.save_pretrained(str(folder))
    (folder / _REPORT).write_text(json.dumps(asdict(training)), encoding="utf-8")


def read_training(folder: Path) -> Training | None:
    """Return the report of a training; None where there is none, as of an earlier version."""
    try:
        data = json.loads((folder / _REPORT).read_text(encoding="utf-8"))
        return Training(**{**data, "missing": [(one, count) for one, count in data["missing"]]})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
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

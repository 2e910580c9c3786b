"""Tokenizers of every family, trained on a few sentences, so small that they cut most words."""

from __future__ import annotations

from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from entromask.spec import TrainedTokenizer
from entromask.text.trained import train_tokenizer

TEXTS = [
    "the unbelievable things that people believe are not the things they see",
    "believing is seeing, and seeing isn't believing: 12 people saw 345 things",
    "nobody reads everything; everybody rereads something unreadable (or readable!)",
] * 20
_SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}


def _wrapped(tokenizer: Tokenizer, trainer: trainers.Trainer) -> PreTrainedTokenizerFast:
    tokenizer.train_from_iterator(TEXTS, trainer)
    special = {f"{name}_token": token for name, token in _SPECIAL.items()}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def wordpiece() -> PreTrainedTokenizerFast:
    """The project's own."""
    return train(TEXTS, 100)


def train(texts: list[str], vocab_size: int, **keys: Any) -> PreTrainedTokenizerFast:
    """A tokenizer as a spec with these keys has it; a spec allows no fewer than 200 types."""
    wanted = TrainedTokenizer.model_construct(vocab_size=vocab_size, **keys)
    return train_tokenizer(lambda: texts, wanted)[0]


def cased_wordpiece() -> PreTrainedTokenizerFast:
    """WordPiece behind a pre-tokenizer that leaves punctuation at its word."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=110, special_tokens=list(_SPECIAL.values()), show_progress=False
    )
    return _wrapped(tokenizer, trainer)


def byte_level(trim_offsets: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE, as of GPT-2 and RoBERTa."""
    from tokenizers import processors

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(_SPECIAL.values()),
        show_progress=False,
    )
    return _wrapped(tokenizer, trainer)


def unigram(split: bool = True) -> PreTrainedTokenizerFast:
    """SentencePiece's Unigram; without `split` a whole text is one word by its word ids."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    trainer = trainers.UnigramTrainer(
        vocab_size=90,
        unk_token="[UNK]",
        special_tokens=list(_SPECIAL.values()),
        show_progress=False,
    )
    wrapped = _wrapped(tokenizer, trainer)
    wrapped.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=split)
    return wrapped

"""Trains a byte-level BPE vocabulary, which has no unknown tokens in any script."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entromask.text.vocabulary import SPECIAL_TOKENS, Documents, batches

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# GPT-2's pattern, but marks (\p{M}) and joiners belong to the letters that they follow: its own
# cuts Hindi, Thai or decomposed Vietnamese at every vowel sign or accent.
_PATTERN = (
    r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
    r"| ?\p{L}[\p{L}\p{M}\x{200C}\x{200D}]*"
    r"| ?\p{N}+"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|\s+(?!\S)|\s+"
)


def train_byte_bpe(
    documents: Documents, vocab_size: int, lowercase: bool, strip_accents: bool
) -> Tokenizer:
    """Train a byte-level BPE tokenizer with at most `vocab_size` types.

    Ties between pairs are broken by ids, and these go by the order of the 256 byte symbols: the
    same text gives the same merges.

    Args:
        documents: returns the training documents.
        vocab_size: at least the special tokens and 256 bytes.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    steps: list[Any] = [normalizers.NFC()]
    if strip_accents:
        steps += [normalizers.NFD(), normalizers.StripAccents(), normalizers.NFC()]
    if lowercase:
        steps += [normalizers.Lowercase()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        batches(documents()),
        trainers.BpeTrainer(
            vocab_size=vocab_size,
            min_frequency=2,
            show_progress=False,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return tokenizer

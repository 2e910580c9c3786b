"""A tokenizer of words w0, w1, ... for tests of masking."""

from __future__ import annotations

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
PAD, UNK, CLS, SEP, MASK = range(5)


def word_tokenizer(words: int = 200, mask: bool = True) -> PreTrainedTokenizerFast:
    """Ids 0 to 4 are special, 5 to words + 4 are words."""
    tokens = [*SPECIAL.values(), *(f"w{number}" for number in range(words))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    special = {f"{name}_token": token for name, token in SPECIAL.items() if name != "mask" or mask}
    model = WordPiece(vocabulary, unk_token="[UNK]")
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), **special)

"""A tokenizer of whole words and rows of random words, for tests that need no text."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def word_tokenizer(types: int = 300) -> PreTrainedTokenizerFast:
    """`types` types, of which the first five are special."""
    ids = {word: index for index, word in enumerate(SPECIAL)}
    ids |= {f"w{index}": index for index in range(len(SPECIAL), types)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(ids, unk_token="[UNK]")),
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def word_rows(rows: int, length: int, types: int = 300, seed: int = 0) -> Tensor:
    """[rows, length] int64: [CLS], words of falling frequency, [SEP]."""
    generator = torch.Generator().manual_seed(seed)
    weights = 1 / torch.arange(1, types - len(SPECIAL) + 1)
    words = torch.multinomial(weights.expand(rows, -1), length, True, generator=generator)
    words += len(SPECIAL)
    words[:, 0], words[:, -1] = 2, 3
    return words

"""Trains a WordPiece vocabulary, the same one each time.

`tokenizers` breaks ties by ids that it gives in the order of a randomly seeded hash map, so that
two trainings differ. Here every character has its id before the training starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entromask.text.alphabet import Alphabet, CharacterCounter, choose_alphabet
from entromask.text.vocabulary import SPECIAL_TOKENS, Documents, batches, controls_removed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PREFIX = "##"
# Runs of letters without a space are long in Thai or Khmer; BERT's limit is 100.
_LONGEST_WORD = 1000
# Of vocabularies from before `strip_accents` was a key.
_FORMER_MOST_CHARACTERS = 1000
_FORMER_LONGEST_WORD = 100


def train_wordpiece(
    documents: Documents, vocab_size: int, lowercase: bool, strip_accents: bool | None
) -> tuple[Tokenizer, Alphabet]:
    """Train a WordPiece tokenizer with at most `vocab_size` types.

    Args:
        documents: returns the training documents anew at each call; they are read twice.
        strip_accents: None: as before this was a key, which is stripped, with at most 1,000
            characters, each of them in both forms.
    """
    from tokenizers import models, trainers

    former = strip_accents is None
    normalizer = _former_normalizer() if former else _normalizer(lowercase, bool(strip_accents))
    longest = _FORMER_LONGEST_WORD if former else _LONGEST_WORD

    def model(vocabulary: dict[str, int] | None) -> Any:
        return models.WordPiece(
            vocabulary,
            unk_token="[UNK]",
            continuing_subword_prefix=_PREFIX,
            max_input_chars_per_word=longest,
        )

    trained = _pipeline(model(None), normalizer)
    counter = CharacterCounter(trained)
    for batch in batches(documents()):
        counter.add(batch)
    room = vocab_size - len(SPECIAL_TOKENS)
    if former:
        alphabet = _former_alphabet(trained, counter, room)
    else:
        alphabet = choose_alphabet(*counter.counts(), room)
    characters = alphabet.characters
    inner = [_PREFIX + character for character in alphabet.inner]
    trained.train_from_iterator(
        batches(documents()),
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
    return _pipeline(model(vocabulary), normalizer), alphabet


def _pipeline(model: Any, normalizer: Any) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=_PREFIX)
    return tokenizer


def _normalizer(lowercase: bool, strip_accents: bool) -> Any:
    from tokenizers import normalizers

    # BERT's cleaning would also delete joiners, which Persian, Indic scripts and emoji need.
    bert = normalizers.BertNormalizer(
        clean_text=False,
        handle_chinese_chars=True,
        strip_accents=strip_accents,
        lowercase=lowercase,
    )
    return normalizers.Sequence([normalizers.NFC(), *controls_removed(), bert])


def _former_normalizer() -> Any:
    from tokenizers import normalizers

    return normalizers.BertNormalizer(lowercase=True)


def _former_alphabet(tokenizer: Tokenizer, counter: CharacterCounter, room: int) -> Alphabet:
    counts, _ = counter.counts()
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    # A small vocabulary has to keep room for more than characters, which count twice.
    most = min(_FORMER_MOST_CHARACTERS, room // 4)
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    return Alphabet(
        characters=sorted(ranked[:most]),
        inner=[one for one in sorted(ranked[:most]) if len(split("a" + one)) == 1],
        covered=sum(counts[one] for one in ranked[:most]) / max(1, sum(counts.values())),
        missing=[(one, counts[one]) for one in ranked[most : most + 10]],
    )

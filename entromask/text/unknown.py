"""What of a text a tokenizer cannot read: unknown tokens, and the characters behind them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entromask.text.encoding import encoder, plain_backend

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# A larger share of unknown tokens, or of their characters, is worth a warning.
MOST_UNKNOWN = 0.005
_MOST_NAMED = 10

Ids = Sequence[int] | NDArray[Any]


@dataclass
class UnknownCounts:
    """Counts of what became unknown tokens.

    Attributes:
        characters: those that are not white space.
        lost: how often which character was lost that the vocabulary lacks.
        words_too_long: words that became unknown for their length alone.
    """

    tokens: int = 0
    unknown_tokens: int = 0
    characters: int = 0
    unknown_characters: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    words_too_long: int = 0

    def merge(self, other: UnknownCounts) -> None:
        """Add the counts of other text."""
        self.tokens += other.tokens
        self.unknown_tokens += other.unknown_tokens
        self.characters += other.characters
        self.unknown_characters += other.unknown_characters
        self.lost.update(other.lost)
        self.words_too_long += other.words_too_long

    def data(self) -> dict[str, Any]:
        """Return the shares for results.json.

        Returns:
            `unknown_token_share`; `unknown_character_share`, of the characters that are not white
            space, those that an unknown token stands for. Where there are any also
            `unknown_characters`, up to ten [character, count] that the vocabulary lacks, and
            `words_too_long`.
        """
        shares: dict[str, Any] = {
            "unknown_token_share": self.unknown_tokens / max(1, self.tokens),
            "unknown_character_share": self.unknown_characters / max(1, self.characters),
        }
        if self.unknown_tokens:
            ranked = sorted(self.lost.items(), key=lambda item: (-item[1], item[0]))
            shares["unknown_characters"] = [list(item) for item in ranked[:_MOST_NAMED]]
            shares["words_too_long"] = self.words_too_long
        return shares


class UnknownText:
    """Counts unknown tokens by their ids; looks at characters only where there are any.

    Args:
        tokenizer: of the ids that `add` gets.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.counts = UnknownCounts()
        self._unknown = tokenizer.unk_token_id
        self._tokenizer = tokenizer
        self._reader: _Reader | None = None

    def add(self, texts: Sequence[str], ids: Ids, frame: int = 0) -> None:
        """Count a text, or a pair of texts, with their ids, of which `frame` are frame tokens."""
        counts = self.counts
        counts.tokens += len(ids) - frame
        counts.characters += sum(len(word) for text in texts for word in text.split())
        if self._unknown is None:
            return
        unknown = int(np.count_nonzero(np.asarray(ids) == self._unknown))
        if unknown:
            counts.unknown_tokens += unknown
            for text in texts:
                self._look_at(text)

    def _look_at(self, text: str) -> None:
        self._reader = self._reader or _Reader(self._tokenizer)
        for span in self._reader.spans(text):
            self.counts.unknown_characters += sum(map(len, span.split()))
            lost, too_long = self._reader.lost(span)
            self.counts.lost.update(lost)
            self.counts.words_too_long += too_long


class _Reader:
    """Finds what became unknown in a text, and why."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._unknown = tokenizer.unk_token_id
        self._encode = encoder(tokenizer)
        self._vocabulary = tokenizer.get_vocab()
        self._backend, self._prefix, self._longest = None, "", None
        if getattr(tokenizer, "backend_tokenizer", None) is not None:
            self._backend = plain_backend(tokenizer)
            model = json.loads(self._backend.to_str())["model"]
            self._prefix = model.get("continuing_subword_prefix") or ""
            self._longest = model.get("max_input_chars_per_word")

    def spans(self, text: str) -> list[str]:
        """Return the parts of a text that became unknown tokens."""
        if self._backend is None:
            # A tokenizer in pure Python does not know where its tokens stand.
            return [word for word in text.split() if self._unknown in self._encode([word])[0]]
        encoded = self._backend.encode(text, add_special_tokens=False)
        return [
            text[start:end]
            for token, (start, end) in zip(encoded.ids, encoded.offsets, strict=True)
            if token == self._unknown
        ]

    def lost(self, span: str) -> tuple[list[str], bool]:
        """Return the characters that the vocabulary lacks, and whether it is length alone."""
        if self._backend is None:
            characters = [one for one in span if self._unknown in self._encode([one])[0]]
            return characters or list(span), False
        if self._backend.normalizer is not None:
            span = self._backend.normalizer.normalize_str(span)
        characters = [one for one in span if not one.isspace()]
        if self._longest is not None and len(characters) > self._longest:
            return characters, True
        lacking = [
            one
            for place, one in enumerate(characters)
            if (self._prefix + one if place else one) not in self._vocabulary
        ]
        return lacking or characters, False


def unknown_warning(what: str, data: Mapping[str, Any]) -> str | None:
    """Return the warning about much unknown text, from `UnknownText.data`; None without cause.

    Args:
        what: is read, such as "the corpus".
    """
    tokens = data.get("unknown_token_share") or 0.0
    characters = data.get("unknown_character_share") or 0.0
    if max(tokens, characters) <= MOST_UNKNOWN:
        return None
    named = ", ".join(
        f"{name_of(one)} ({count:,})" for one, count in data.get("unknown_characters") or ()
    )
    lost = f"; the characters lost most often are {named}" if named else ""
    long = data.get("words_too_long")
    are = "word is" if long == 1 else "words are"
    words = f"; {long:,} {are} longer than the tokenizer reads" if long else ""
    return (
        f"{tokens:.1%} of the tokens of {what} are unknown to the tokenizer, {characters:.1%} of "
        f"the characters: no model learns anything of them{lost}{words}; use a tokenizer that was "
        "made for this text, or tokenizer.algorithm byte-bpe, which knows every character"
    )


def name_of(character: str) -> str:
    """Return a character as a message shows it, with its code point where it says more."""
    code = f"U+{ord(character):04X}"
    if not character.isprintable():
        return code
    return f"'{character}'" if character.isalnum() else f"'{character}' ({code})"

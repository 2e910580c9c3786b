"""How a text becomes tokens: the same for corpora, tasks, minimal pairs and previews.

The tokens that frame a row ([CLS], [SEP], [MASK], [PAD], [UNK] and their equivalents) are read as
characters where a text spells them. Every other added token is read as a token, a user's special
ones too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entromask.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FRAME = ("cls", "sep", "mask", "pad", "unk", "bos", "eos")
# What no text holds: a code point that is not a character.
_HIDDEN = "\U0010ffff"


def frame_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return the tokens that frame, hide, fill and replace text, in the order of `_FRAME`."""
    tokens = (getattr(tokenizer, f"{name}_token", None) for name in _FRAME)
    return list(dict.fromkeys(str(token) for token in tokens if token is not None))


def frame_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the ids of the frame tokens, ascending: they are never masked nor predicted.

    A user's additional special tokens are not among them.
    """
    ids = tokenizer.convert_tokens_to_ids(frame_tokens(tokenizer))
    return sorted({int(number) for number in ids if number is not None})


def encoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[str]], list[list[int]]]:
    """Return a function from texts to their ids: no frame, never cut, on all cores if it can."""
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return _python_encoder(tokenizer)
    plain = plain_backend(tokenizer)
    return lambda texts: [
        one.ids for one in plain.encode_batch_fast(texts, add_special_tokens=False)
    ]


def _python_encoder(
    tokenizer: PreTrainedTokenizerBase,
) -> Callable[[list[str]], list[list[int]]]:
    """The encoder of a tokenizer in pure Python."""
    frame = set(frame_tokens(tokenizer))
    added = {
        token.content: token
        for token in tokenizer.added_tokens_decoder.values()
        if token.content not in frame
    }
    longest_first = sorted(added, key=lambda token: -len(token))
    cut = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    breakable = sorted((token for token in frame if len(token) > 1), key=lambda token: -len(token))
    spelt = re.compile("|".join(map(re.escape, breakable)) or r"(?!)")

    def characters(text: str) -> list[str]:
        # `tokenize` and not `encode`, which warns of texts longer than a model's longest.
        tokens: list[str] = tokenizer.tokenize(text, split_special_tokens=True)
        match = spelt.search(text)
        if match is None or not frame & set(tokens):
            return tokens
        # Some keep a frame token whole nevertheless: BERT's never split one. So it is broken.
        inside = match.start() + 1
        return characters(text[:inside]) + characters(text[inside:])

    def tokens_of(text: str) -> list[str]:
        tokens: list[str] = []
        end = 0
        for match in cut.finditer(text):
            token, start = added[match[0]], max(end, match.start())
            before = text[end:start]
            tokens += characters(before.rstrip() if token.lstrip else before)
            tokens.append(match[0])
            end = match.end()
            if token.rstrip:
                end += len(text[end:]) - len(text[end:].lstrip())
        return tokens + characters(text[end:])

    return lambda texts: [tokenizer.convert_tokens_to_ids(tokens_of(text)) for text in texts]


def word_encoder(
    tokenizer: PreTrainedTokenizerBase,
) -> Callable[[list[str]], list[tuple[NDArray[np.int64], NDArray[np.bool_]]]] | None:
    """A function from texts to their ids, as of `encoder`, and whether each begins a word.

    A token begins a word where the tokenizer's own word id changes, where there is whitespace
    between it and the token before, where its own text begins with whitespace, and at the start
    of a text. Word ids alone would not do: a SentencePiece tokenizer may see a whole text as one.

    Returns:
        A function giving ids [n] and begins [n] for each text; None for a tokenizer in pure
        Python, which knows neither word ids nor offsets.
    """
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        return None
    plain = plain_backend(tokenizer)
    continues = _continues(plain)

    def encode(texts: list[str]) -> list[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
        if continues is not None:
            encodings = plain.encode_batch_fast(texts, add_special_tokens=False)
        else:
            encodings = plain.encode_batch(texts, add_special_tokens=False)
        ids = [np.array(one.ids, dtype=np.int64) for one in encodings]
        if continues is not None:
            return [(one, ~continues[one]) for one in ids]
        return list(zip(ids, _word_starts(texts, encodings), strict=True))

    return encode


def _continues(backend: Any) -> NDArray[np.bool_] | None:
    """[V], whether a type continues a word, of a tokenizer of which the types tell all of it.

    Behind BERT's pre-tokenizer, which isolates "#", exactly the pieces after a word's first have
    WordPiece's prefix. Encoding without word ids and offsets is a third faster. None: ask those.
    """
    state = json.loads(backend.to_str())
    model, before = state["model"], state["pre_tokenizer"] or {}
    if model["type"] != "WordPiece" or before.get("type") != "BertPreTokenizer":
        return None
    prefix = model["continuing_subword_prefix"]
    if prefix != "##":
        return None
    added = {token["id"] for token in state["added_tokens"]}
    continues = np.zeros(1 + max([*model["vocab"].values(), *added]), dtype=bool)
    continues[[i for token, i in model["vocab"].items() if token.startswith(prefix)]] = True
    continues[list(added)] = False
    return continues


def _word_starts(texts: list[str], encodings: list[Any]) -> list[NDArray[np.bool_]]:
    """Whether each token of each text begins a word; all texts at once, for speed."""
    sizes = np.array([len(one.ids) for one in encodings])
    words = np.fromiter(chain.from_iterable(one.word_ids for one in encodings), np.int64)
    pairs = chain.from_iterable(one.offsets for one in encodings)
    offsets = np.fromiter(chain.from_iterable(pairs), np.int64, 2 * len(words)).reshape(-1, 2)
    # The texts as one, each with a line break behind it: an offset may point to a text's end.
    lengths = np.array([len(text) + 1 for text in texts])
    offsets += np.repeat(np.cumsum(lengths) - lengths, sizes)[:, None]
    spaces = _spaces_before("\n".join([*texts, ""]))
    starts = np.ones(len(words), dtype=bool)
    # Whitespace from the end of the token before to this one's first character, with that one.
    apart = spaces[offsets[1:, 0] + 1] > spaces[offsets[:-1, 1]]
    starts[1:] = (words[1:] != words[:-1]) | apart
    bounds = np.cumsum(sizes)
    starts[(bounds - sizes)[sizes > 0]] = True
    return np.split(starts, bounds[:-1])


def _spaces_before(text: str) -> NDArray[np.int64]:
    """How many whitespace characters there are before each place of a text, and in all."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    # No whitespace lies beyond the ideographic space. The information separators (1C to 1F) are
    # whitespace for Python alone: tokenizers go by Unicode's White_Space.
    table = np.array([chr(point).isspace() for point in range(0x3002)])
    table[0x1C:0x20] = False
    counts = np.zeros(len(points) + 1, dtype=np.int64)
    np.cumsum(table[np.minimum(points, 0x3001)], out=counts[1:])
    return counts


def encode_with_offsets(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> tuple[list[int], list[tuple[int, int]]]:
    """The same ids for one text, and where each token begins and ends in it, in code points.

    Raises:
        InputError: the tokenizer does not know where its tokens stand.
    """
    if getattr(tokenizer, "backend_tokenizer", None) is None:
        raise InputError(
            f"the tokenizer {type(tokenizer).__name__} does not know where its tokens stand in "
            "a text",
            "save the tokenizer as tokenizer.json",
        )
    encoded = plain_backend(tokenizer).encode(text, add_special_tokens=False)
    return encoded.ids, encoded.offsets


def plain_backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    """Return a copy of a tokenizer's backend that reads texts as this module says.

    It cuts nothing and pads nothing. In `tokenizers`, special tokens are read as characters all or
    none: here the frame tokens alone are special. Their spellings change too, since the model
    behind may find them as words of its own (WordPiece, Unigram).
    """
    backend: Any = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    hidden = {token: _HIDDEN + token for token in frame_tokens(tokenizer)}
    for token in state["added_tokens"]:
        token["special"] = token["content"] in hidden
        token["content"] = hidden.get(token["content"], token["content"])
    model = state["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {hidden.get(token, token): i for token, i in model["vocab"].items()}
    else:
        model["vocab"] = [[hidden.get(token, token), score] for token, score in model["vocab"]]
    if model.get("unk_token") is not None:
        model["unk_token"] = hidden.get(model["unk_token"], model["unk_token"])
    state["truncation"] = state["padding"] = None
    plain = type(backend).from_str(json.dumps(state))
    plain.encode_special_tokens = True
    return plain

"""Tokenizers: trained on the corpus, loaded from a folder or the Hub, compared with one another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entromask import spec
from entromask.errors import DependencyMissingError, InputError
from entromask.hub import hub_errors
from entromask.modeling.folders import check_tokenizer_folder, is_path
from entromask.settings import settings
from entromask.text.cache import build_once
from entromask.text.corpus import Corpus

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Masking needs the first; the others frame a row and pad a batch.
_NEEDED = ("mask_token", "cls_token", "sep_token", "pad_token")
_PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "It's 3.14 times as UNLIKELY, isn't it? (Yes: 100%!)",
    "naïve café, Zürich, Ελλάδα, Москва, 東京, e\u0301",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "  two  spaces,\ta tab\nand a new line  ",
)


def open_tokenizer(tokenizer: spec.Tokenizer, corpus: Corpus) -> PreTrainedTokenizerBase:
    """The tokenizer that a spec names; one that is trained is trained once and then cached.

    Raises:
        InputError: it is missing or cannot be loaded, or lacks a token that masking needs.
        DependencyMissingError: it is on the Hub, and cannot be had now.
        DiskFullError: there is no room for a trained one.
    """
    if isinstance(tokenizer, spec.TrainedTokenizer):
        return load_tokenizer(str(_trained(tokenizer.vocab_size, corpus)))
    if isinstance(tokenizer, spec.LocalTokenizer):
        path = Path(tokenizer.path).expanduser()
        return _checked(_from_folder(path), str(path))
    return _checked(_from_hub(tokenizer.name, tokenizer.revision), tokenizer.name)


def load_tokenizer(path_or_name: str, revision: str | None = None) -> PreTrainedTokenizerBase:
    """A tokenizer from a folder, or else from the Hub.

    Raises:
        InputError: the folder holds none, or it lacks a token that masking needs.
        DependencyMissingError: it is on the Hub, and cannot be had now.
    """
    path = Path(path_or_name).expanduser()
    if path.is_dir() or is_path(path_or_name):
        return _checked(_from_folder(path), path_or_name)
    return _checked(_from_hub(path_or_name, revision), path_or_name)


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of what decides the ids of a text; saving and loading does not change it."""
    parts: dict[str, Any] = {name: getattr(tokenizer, name) for name in _NEEDED}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        parts |= {"class": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
    else:
        state = json.loads(backend.to_str())
        parts |= {name: state[name] for name in ("normalizer", "pre_tokenizer", "model")}
        parts["added"] = sorted(
            (token["id"], token["content"], token["special"]) for token in state["added_tokens"]
        )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def same_tokenizer(a: PreTrainedTokenizerBase, b: PreTrainedTokenizerBase) -> str | None:
    """None if the two give every text the same ids; else the first difference, as one sentence."""
    first, second = a.get_vocab(), b.get_vocab()
    if len(first) != len(second):
        return f"the vocabularies have {len(first):,} and {len(second):,} tokens"
    for token, number in sorted(first.items(), key=lambda item: item[1]):
        if token not in second:
            return f"the token '{token}' (id {number}) is in only one of the vocabularies"
        if second[token] != number:
            return f"the token '{token}' has the ids {number} and {second[token]}"
    for name in _NEEDED:
        if getattr(a, name) != getattr(b, name):
            return f"the {name}s are '{getattr(a, name)}' and '{getattr(b, name)}'"
    for probe in _PROBES:
        pieces = [one.convert_ids_to_tokens(encoder(one)([probe])[0]) for one in (a, b)]
        if pieces[0] != pieces[1]:
            return f"'{probe}' becomes {pieces[0]} in one and {pieces[1]} in the other"
    return None


def encoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[str]], list[list[int]]]:
    """A function from texts to their ids: no special tokens, never cut, on all cores if it can.

    A special token that is spelt out in a text, such as "[MASK]", is read as plain characters;
    some tokenizers in pure Python cannot do that.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        # `tokenize` and not `encode`, which warns of texts longer than a model's longest.
        return lambda texts: [
            tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text, split_special_tokens=True))
            for text in texts
        ]
    plain = _plain(backend)
    return lambda texts: [
        one.ids for one in plain.encode_batch_fast(texts, add_special_tokens=False)
    ]


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
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    plain, continues = _plain(backend), _continues(backend)

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
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise InputError(
            f"the tokenizer {type(tokenizer).__name__} does not know where its tokens stand in "
            "a text",
            "save the tokenizer as tokenizer.json",
        )
    encoded = _plain(backend).encode(text, add_special_tokens=False)
    return encoded.ids, encoded.offsets


def _plain(backend: Any) -> Any:
    """A copy that cuts nothing, pads nothing, and reads special tokens as characters."""
    plain = type(backend).from_str(backend.to_str())
    plain.no_truncation()
    plain.no_padding()
    plain.encode_special_tokens = True
    return plain


def _checked(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    missing = [token for token in _NEEDED if getattr(tokenizer, token, None) is None]
    if missing:
        raise InputError(
            f"the tokenizer '{name}' has no {' and no '.join(missing)}",
            "use the tokenizer of a masked language model, such as BERT's",
        )
    return tokenizer


def _from_folder(path: Path) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    check_tokenizer_folder(path)
    try:
        return AutoTokenizer.from_pretrained(
            str(path), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the Rust side raises bare Exceptions
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise InputError(
            f"{path} holds no tokenizer that can be loaded: {reason}",
            "name a folder with a tokenizer.json, or a vocab.txt with a tokenizer_config.json",
        ) from None


def _from_hub(name: str, revision: str | None) -> PreTrainedTokenizerBase:
    with hub_errors(f"the tokenizer '{name}'"):
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
        except ImportError as error:
            reason = " ".join(str(error).split())[:200].rstrip(".")
            raise DependencyMissingError(
                f"the tokenizer '{name}' needs a package: {reason}", "install it with pip"
            ) from None


def _trained(vocab_size: int, corpus: Corpus) -> Path:
    """The folder of the WordPiece tokenizer of this corpus and size."""
    from entromask.text.wordpiece import recipe, train_wordpiece

    key = json.dumps([corpus.fingerprint, vocab_size, recipe()])
    folder = settings().cache / "tokenizers" / hashlib.sha256(key.encode()).hexdigest()

    def build(place: Path) -> None:
        def documents() -> Iterator[str]:
            return corpus.documents("train")

        train_wordpiece(documents, vocab_size).save_pretrained(str(place))

    def whole(place: Path) -> bool:
        return (place / "tokenizer.json").is_file()

    build_once(folder, build, whole, "the trained tokenizer")
    return folder

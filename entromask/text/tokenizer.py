"""Tokenizers: trained on the corpus, loaded from a folder or the Hub, compared with one another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from entromask import spec
from entromask.errors import DependencyMissingError, InputError
from entromask.hub import hub_errors
from entromask.modeling.folders import check_tokenizer_folder, is_path
from entromask.settings import settings
from entromask.text.cache import build_once
from entromask.text.corpus import Corpus
from entromask.text.encoding import encoder
from entromask.text.trained import read_training, recipe, save_trained, train_tokenizer

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
        return load_tokenizer(str(_trained(tokenizer, corpus)))
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


def trained_vocabulary(tokenizer: spec.TrainedTokenizer, corpus_fingerprint: str) -> int | None:
    """Return the size of a vocabulary that was trained on this machine; None if none was."""
    folder = _trained_folder(tokenizer, corpus_fingerprint)
    training = read_training(folder)
    if training is not None:
        return training.vocab_size
    try:  # of an earlier version, which wrote no report
        state = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return len(state["model"]["vocab"])
    except (OSError, ValueError, KeyError):
        return None


def describe_tokenizer(
    wanted: spec.Tokenizer, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """Return `tokenizer` of results.json: `algorithm`, `vocab_size`, `requested_vocab_size`."""
    requested = wanted.vocab_size if isinstance(wanted, spec.TrainedTokenizer) else None
    return {
        "algorithm": _algorithm(tokenizer),
        "vocab_size": len(tokenizer),
        "requested_vocab_size": requested,
    }


def tokenizer_warnings(wanted: spec.Tokenizer, corpus: Corpus) -> list[str]:
    """Return what a trained tokenizer lacks of what the spec asks for, in sentences."""
    if not isinstance(wanted, spec.TrainedTokenizer):
        return []
    training = read_training(_trained_folder(wanted, corpus.fingerprint))
    return [] if training is None else training.warnings()


def _algorithm(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return `wordpiece`, `byte-bpe`, `bpe`, `unigram`, `wordlevel`, or the class's name."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return type(tokenizer).__name__
    state = json.loads(backend.to_str())
    kind = str(state["model"]["type"]).lower()
    byte_level = '"ByteLevel"' in json.dumps([state["pre_tokenizer"], state["decoder"]])
    return "byte-bpe" if kind == "bpe" and byte_level else kind


def _trained_folder(wanted: spec.TrainedTokenizer, corpus_fingerprint: str) -> Path:
    key = json.dumps([corpus_fingerprint, *recipe(wanted)])
    return settings().cache / "tokenizers" / hashlib.sha256(key.encode()).hexdigest()


def _trained(wanted: spec.TrainedTokenizer, corpus: Corpus) -> Path:
    """Return the folder of the tokenizer of this corpus, trained now if it was not before."""
    folder = _trained_folder(wanted, corpus.fingerprint)

    def build(place: Path) -> None:
        def documents() -> Iterator[str]:
            return corpus.documents("train")

        save_trained(*train_tokenizer(documents, wanted), place)

    def whole(place: Path) -> bool:
        return (place / "tokenizer.json").is_file()

    build_once(folder, build, whole, "the trained tokenizer")
    return folder

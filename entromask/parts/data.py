"""The text of a run and how it is cut into tokens."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from entromask.parts.base import Part

_SMALLEST_BYTE_BPE = 300


class BuiltinCorpus(Part):
    """The English documentation that ships with Python: no file, no network."""

    source: Literal["builtin"] = Field("builtin", description="no file and no network")
    max_tokens: int | None = Field(None, ge=1, description="use at most this many training tokens")


class LocalCorpus(Part):
    """A file of text, or a folder of such files."""

    source: Literal["local"] = Field(description="files of this machine")
    path: str = Field(
        min_length=1,
        description=".txt, .jsonl, .json, .csv, .tsv or .parquet, also .gz or .zst, or a folder of "
        "them, or one of `save_to_disk`",
    )
    column: str = Field("text", description="the text column of all but .txt, nested as `a.b`")
    max_tokens: int | None = Field(None, ge=1, description="use at most this many training tokens")


class HubCorpus(Part):
    """A data set on the Hugging Face Hub, streamed."""

    source: Literal["hub"] = Field(description="the Hugging Face Hub")
    name: str = Field(
        min_length=1, description="a data set's name, for example `Salesforce/wikitext`"
    )
    config: str | None = Field(
        None, description="its configuration, for example `wikitext-103-raw-v1`"
    )
    split: str = Field("train", description="the split to train on")
    column: str = Field("text", description="its text column")
    max_tokens: int | None = Field(None, ge=1, description="use at most this many training tokens")


class UploadCorpus(Part):
    """A corpus that was uploaded to the service, found under ENTROMASK_HOME/corpora."""

    source: Literal["upload"] = Field(description="a file uploaded to the service")
    # A folder's name: nothing in it may lead elsewhere.
    id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="an uploaded corpus, such as `corpus_0193f2`"
    )
    column: str = Field("text", description="the text column of all but .txt, nested as `a.b`")
    max_tokens: int | None = Field(None, ge=1, description="use at most this many training tokens")


Corpus = Annotated[
    BuiltinCorpus | LocalCorpus | HubCorpus | UploadCorpus, Field(discriminator="source")
]


Algorithm = Literal["wordpiece", "byte-bpe", "unigram"]


class TrainedTokenizer(Part):
    """A vocabulary trained on the corpus; unlike `bert-base-uncased` it keeps accents and marks."""

    source: Literal["train"] = Field("train", description="trained for this run")
    vocab_size: int = Field(8192, ge=200, le=200_000, description="types, special tokens included")
    algorithm: Algorithm = Field(
        "wordpiece", description="`byte-bpe` has no unknown tokens in any script"
    )
    lowercase: bool = Field(True, description="read upper case as lower case")
    strip_accents: bool | None = Field(
        False,
        description="remove accents and combining marks, as `bert-base-uncased` does, in every "
        "script; null: as runs did before this was a key, with at most 1,000 characters",
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.strip_accents is None and (self.algorithm, self.lowercase) != ("wordpiece", True):
            raise PydanticCustomError(
                "strip_accents",
                "strip_accents null is for algorithm wordpiece with lowercase true alone; "
                "allowed: true, false",
            )
        if self.algorithm == "byte-bpe" and self.vocab_size < _SMALLEST_BYTE_BPE:
            raise PydanticCustomError(
                "vocab_size",
                "byte-bpe needs a vocab_size of at least {least}, for 256 bytes and the special "
                "tokens, not {size}",
                {"least": _SMALLEST_BYTE_BPE, "size": self.vocab_size},
            )
        return self


class LocalTokenizer(Part):
    """A Hugging Face tokenizer folder."""

    source: Literal["local"] = Field(description="files of this machine")
    path: str = Field(
        min_length=1,
        description="a folder with tokenizer.json, or with vocab.txt and its configuration",
    )


class HubTokenizer(Part):
    """A tokenizer on the Hugging Face Hub."""

    source: Literal["hub"] = Field(description="the Hugging Face Hub")
    name: str = Field(min_length=1, description="a model's or a tokenizer's name")
    revision: str | None = Field(None, description="a branch, tag or commit")


Tokenizer = Annotated[
    TrainedTokenizer | LocalTokenizer | HubTokenizer, Field(discriminator="source")
]

"""The text of a run and how it is cut into tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from entromask.parts.base import Part


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


class TrainedTokenizer(Part):
    """An uncased WordPiece vocabulary, trained on the corpus."""

    source: Literal["train"] = Field("train", description="trained for this run")
    vocab_size: int = Field(8192, ge=200, le=200_000, description="types, special tokens included")


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

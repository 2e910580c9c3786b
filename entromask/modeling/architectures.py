"""Encoders from scratch: the table of architectures, each in the sizes of `presets.SIZES`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
)

from entromask.errors import InputError
from entromask.presets import SIZES, Size
from entromask.spec import Model


def _bert_like(kind: type[PretrainedConfig], **extra: Any) -> Callable[..., PretrainedConfig]:
    def configure(size: Size, positions: int, dropout: float, **ids: Any) -> PretrainedConfig:
        return kind(
            hidden_size=size.width,
            num_hidden_layers=size.layers,
            num_attention_heads=size.heads,
            intermediate_size=size.feed_forward,
            max_position_embeddings=positions + extra.get("position_offset", 0),
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            type_vocab_size=extra.get("segments", 2),
            **({"embedding_size": size.width} if kind is ElectraConfig else {}),
            **ids,
        )

    return configure


def _distilbert(size: Size, positions: int, dropout: float, **ids: Any) -> PretrainedConfig:
    return DistilBertConfig(
        dim=size.width,
        n_layers=size.layers,
        n_heads=size.heads,
        hidden_dim=size.feed_forward,
        max_position_embeddings=positions,
        dropout=dropout,
        attention_dropout=dropout,
        **ids,
    )


def _modernbert(size: Size, positions: int, dropout: float, **ids: Any) -> PretrainedConfig:
    window = ModernBertConfig().local_attention
    return ModernBertConfig(
        hidden_size=size.width,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        # A gated layer has three matrices where a plain one has two: ModernBERT-base keeps
        # 1.5 x width where BERT-base has 4 x, which is the ratio kept here.
        intermediate_size=size.feed_forward * 3 // 8,
        max_position_embeddings=max(positions, 512),
        # On rows as short as the window, local attention would only add the cost of a mask.
        layer_types=["full_attention"] * size.layers if positions <= window else None,
        embedding_dropout=dropout,
        mlp_dropout=dropout,
        attention_dropout=dropout,
        # Masked prediction on packed rows never trains the state of [CLS].
        classifier_pooling="mean",
        **ids,
    )


# RoBERTa counts positions from padding_idx + 1; it knows one segment.
ARCHITECTURES: dict[str, Callable[..., PretrainedConfig]] = {
    "bert": _bert_like(BertConfig),
    "distilbert": _distilbert,
    "roberta": _bert_like(RobertaConfig, segments=1, position_offset=2),
    "electra": _bert_like(ElectraConfig),
    "modernbert": _modernbert,
}

# Encoders without segment embeddings; their tokenizers must not produce token types.
WITHOUT_SEGMENTS = ("distilbert", "roberta", "modernbert")


def build_model(
    model: Model,
    tokenizer: PreTrainedTokenizerBase,
    sequence_length: int,
    seed: int,
    vocabulary: int | None = None,
) -> PreTrainedModel:
    """A masked language model with weights drawn from `seed`, in float32 on the CPU.

    Args:
        model: resolved; its `init` is not looked at.
        tokenizer: gives the vocabulary size and the special tokens.
        sequence_length: tokens a row; learned positions reach exactly as far.
        vocabulary: types that the model knows, where they are more than the tokenizer's.

    Raises:
        InputError: architecture or size is not in the tables.
    """
    if model.architecture is None or model.size is None:
        raise InputError("model.architecture and model.size are not resolved", "resolve the spec")
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id or tokenizer.cls_token_id,
        "eos_token_id": tokenizer.eos_token_id or tokenizer.sep_token_id,
    }
    if model.architecture == "modernbert":
        special |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    positions = sequence_length
    if model.architecture == "roberta" and tokenizer.pad_token_id is not None:
        positions += max(0, tokenizer.pad_token_id - 1)
    config = ARCHITECTURES[model.architecture](
        SIZES[model.size],
        positions,
        model.dropout or 0.0,
        vocab_size=vocabulary or len(tokenizer),
        **special,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built: PreTrainedModel = AutoModelForMaskedLM.from_config(
            config, attn_implementation="sdpa", dtype=torch.float32
        )
    return built


def save_pretrained(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Writes a folder that plain transformers loads: weights, config, tokenizer."""
    model.save_pretrained(folder)
    _save_tokenizer(model, tokenizer, folder)


def save_without_weights(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Writes the same folder but for the weights, which model.safetensors then adds."""
    model.config.dtype = str(model.dtype).removeprefix("torch.")
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    _save_tokenizer(model, tokenizer, folder)


def _save_tokenizer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    if model.config.model_type in WITHOUT_SEGMENTS:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and model.config.model_type == "roberta":
        longest -= model.config.pad_token_id + 1
    if longest is not None:
        tokenizer.model_max_length = longest
    tokenizer.save_pretrained(folder)

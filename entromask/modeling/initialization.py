"""A student that starts from its teacher's weights instead of random ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from entromask.errors import InputError

# A layer's tensor, below the encoder: the list of layers, the layer's number, the rest.
_LAYER = re.compile(r"(.*\blayers?)\.(\d+)\.(.*)")
# What goes by another name in each architecture.
_WORDS, _BIAS = "embeddings.words", "projection.bias"


@dataclass(frozen=True)
class Initialized:
    """What a student has of its teacher.

    Attributes:
        taken: names of the student's tensors that hold the teacher's values, tied ones once.
        left: names of its other tensors, which keep their values.
        layers: for each of its layers the teacher's that it was taken from; empty where only
            the embeddings were.
    """

    taken: list[str]
    left: list[str]
    layers: list[int]


def initialize(
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    how: Literal["teacher-complete", "teacher-embeddings"],
) -> Initialized:
    """Copies the teacher's weights into the student, in place, where name and shape agree.

    `teacher-embeddings` takes the embeddings (word, position, token type, and the norm after
    them) and the bias of the vocabulary projection, whose weight is tied to the word embeddings.
    `teacher-complete` takes these, every layer (`layer_places` says from which of the teacher's)
    and the prediction head.

    Names are compared below the encoder's own prefix, so that embeddings also pass between
    architectures. A longer table of positions is cut to the student's; a shorter one is not taken.

    Args:
        student, teacher: masked language models of the same tokenizer, on any device.

    Raises:
        InputError: the word embeddings do not fit; or, for `teacher-complete`, the layers do not:
            another architecture, another number of attention heads, or fewer layers.
    """
    if _words(student).shape != _words(teacher).shape:
        raise _unfit(student, teacher, "the teacher's word embeddings do not fit the student")
    layers = _layers_taken(student, teacher) if how == "teacher-complete" else []
    own, source = dict(student.named_parameters()), _by_key(teacher)
    found: dict[str, Tensor] = {}
    for name, key in _keys(student).items():
        if layers or key.startswith("embeddings") or key == _BIAS:
            values = source.get(_place(key, layers))
            if values is not None and key.endswith("position_embeddings.weight"):
                values = _positions(student, teacher, key)
            if values is not None and values.shape == own[name].shape:
                found[name] = values
    if layers and not any(_LAYER.fullmatch(name) for name in found):
        raise _unfit(student, teacher, "no layer of the teacher fits the student")
    with torch.no_grad():
        for name, values in found.items():
            own[name].copy_(values)
    return Initialized(sorted(found), sorted(own.keys() - found.keys()), layers)


def layer_places(student: int, teacher: int) -> list[int]:
    """Which of the teacher's layers a student of at most as many takes: evenly spaced ones.

    Layer i of n takes layer i (m - 1) / (n - 1) of m, rounded half up, so that the first and the
    last are among them; the only layer of a student takes the first.
    """
    if student == 1:
        return [0]
    steps = student - 1
    return [(2 * i * (teacher - 1) + steps) // (2 * steps) for i in range(student)]


def _layers_taken(student: PreTrainedModel, teacher: PreTrainedModel) -> list[int]:
    count, available = _layer_count(student), _layer_count(teacher)
    if available < count:
        raise InputError(
            f"model.init 'teacher-complete' takes each layer from one of the teacher's: the "
            f"student is {_shape(student)}, the teacher {_shape(teacher)}",
            f"choose a model.size of at most {available} layers, or model.init: teacher-embeddings",
        )
    if student.config.num_attention_heads != teacher.config.num_attention_heads:
        raise _unfit(student, teacher, "the teacher's layers have another number of heads")
    return layer_places(count, available)


def _layer_count(model: PreTrainedModel) -> int:
    numbers = {found[2] for key in _keys(model).values() if (found := _LAYER.fullmatch(key))}
    return len(numbers)


def _place(key: str, layers: list[int]) -> str:
    """The key in the teacher for a key in the student."""
    found = _LAYER.fullmatch(key)
    if found is None or not layers:
        return key
    return f"{found[1]}.{layers[int(found[2])]}.{found[3]}"


def _keys(model: PreTrainedModel) -> dict[str, str]:
    """Each parameter's name, tied ones once, and the name by which architectures compare."""
    projection = model.get_output_embeddings()
    roles = {id(_words(model)): _WORDS, id(getattr(projection, "bias", None)): _BIAS}
    prefix = f"{model.base_model_prefix}."
    return {
        name: roles.get(id(parameter), name.removeprefix(prefix))
        for name, parameter in model.named_parameters()
    }


def _by_key(model: PreTrainedModel) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    return {key: parameters[name].detach() for name, key in _keys(model).items()}


def _words(model: PreTrainedModel) -> Tensor:
    words: Tensor = model.get_input_embeddings().weight
    return words


def _positions(student: PreTrainedModel, teacher: PreTrainedModel, key: str) -> Tensor | None:
    """The student's table with the teacher's positions; None where the teacher has fewer.

    RoBERTa counts positions from padding_idx + 1, the others from 0.
    """
    tables = [
        model.base_model.get_submodule(key.rpartition(".")[0]) for model in (student, teacher)
    ]
    own, other = (table.weight.detach() for table in tables)
    first, others_first = (0 if t.padding_idx is None else t.padding_idx + 1 for t in tables)
    count = len(own) - first
    taken = other[others_first : others_first + count].to(own)
    if len(taken) < count or taken.shape[1:] != own.shape[1:]:
        return None
    return torch.cat([own[:first], taken])


def _shape(model: PreTrainedModel) -> str:
    vocabulary, width = _words(model).shape
    config = model.config
    return (
        f"{config.model_type} of {_layer_count(model)} layers, width {config.hidden_size}, "
        f"{config.num_attention_heads} heads, and {vocabulary} x {width} word embeddings"
    )


def _unfit(student: PreTrainedModel, teacher: PreTrainedModel, what: str) -> InputError:
    return InputError(
        f"{what}: the student is {_shape(student)}, the teacher {_shape(teacher)}",
        "choose model.architecture and model.size like the teacher's, or model.init: scratch",
    )

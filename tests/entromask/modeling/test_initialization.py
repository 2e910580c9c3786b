from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
)

from entromask.errors import InputError
from entromask.modeling.initialization import initialize, layer_places

VOCABULARY = 60
TEACHER_LAYERS, LAYERS, PLACES = 5, 3, [0, 2, 4]

# Where each architecture keeps its embeddings, its layers, and its output bias.
PLACES_OF = {
    "bert": ("bert.embeddings.", "bert.encoder.layer", "cls.predictions.bias"),
    "distilbert": (
        "distilbert.embeddings.",
        "distilbert.transformer.layer",
        "vocab_projector.bias",
    ),
    "roberta": ("roberta.embeddings.", "roberta.encoder.layer", "lm_head.bias"),
    "electra": ("electra.embeddings.", "electra.encoder.layer", "generator_lm_head.bias"),
    "modernbert": ("model.embeddings.", "model.layers", "decoder.bias"),
}
ARCHITECTURES = list(PLACES_OF)


def config_of(
    architecture: str,
    layers: int,
    width: int,
    heads: int,
    inner: int,
    positions: int,
    vocabulary: int,
) -> PretrainedConfig:
    if architecture == "distilbert":
        return DistilBertConfig(
            vocab_size=vocabulary,
            dim=width,
            n_layers=layers,
            n_heads=heads,
            hidden_dim=inner,
            max_position_embeddings=positions,
        )
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "pad_token_id": 1 if architecture == "roberta" else 0,
    }
    if architecture == "electra":
        return ElectraConfig(**shape, embedding_size=width)
    if architecture == "modernbert":
        special = {f"{name}_token_id": 2 for name in ("bos", "eos", "cls", "sep")}
        return ModernBertConfig(**shape, **special, layer_types=["full_attention"] * layers)
    return {"bert": BertConfig, "roberta": RobertaConfig}[architecture](**shape)


def model_of(architecture: str, layers: int = LAYERS, seed: int = 0, **shape: int) -> Any:
    default = {"width": 8, "heads": 2, "inner": 12, "positions": 16, "vocabulary": VOCABULARY}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForMaskedLM.from_config(
            config_of(architecture, layers, **default | shape), attn_implementation="eager"
        )
        with torch.no_grad():
            for parameter in model.parameters():  # norms and biases too
                parameter.normal_()
    return model.eval()


def state(model: PreTrainedModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def names_taken(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_take_the_embeddings_and_the_output_bias_alone(architecture: str) -> None:
    student, teacher = model_of(architecture), model_of(architecture, TEACHER_LAYERS, seed=1)
    embeddings, layers, bias = PLACES_OF[architecture]
    before = state(student)
    report = initialize(student, teacher, "teacher-embeddings")
    after, source = state(student), state(teacher)
    tied = {name for name, own in after.items() if torch.equal(own, source[embeddings_of(after)])}
    expected = {name for name in before if name.startswith(embeddings)} | tied | {bias}
    changed = names_taken(before, after)
    assert changed - {bias.replace("bias", "decoder.bias")} == expected
    positions = "position_embeddings.weight"
    for name in changed:
        first = 2 if architecture == "roberta" and name.endswith(positions) else 0
        assert torch.equal(after[name][first:], source[name][first:]), name
    assert report.layers == []
    assert set(report.taken) <= changed
    assert set(report.taken) | set(report.left) == set(dict(student.named_parameters()))
    assert not set(report.taken) & set(report.left)
    assert any(name.startswith(layers) for name in report.left)


def embeddings_of(names: dict[str, Tensor]) -> str:
    return next(n for n in names if n.endswith(("word_embeddings.weight", "tok_embeddings.weight")))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_complete_takes_evenly_spaced_layers_and_the_head_too(architecture: str) -> None:
    student, teacher = model_of(architecture), model_of(architecture, TEACHER_LAYERS, seed=1)
    _, layers, _ = PLACES_OF[architecture]
    source = state(teacher)
    if architecture == "modernbert":  # whose first layer has no norm before its attention
        source.pop(f"{layers}.0.attn_norm.weight", None)
    report = initialize(student, teacher, "teacher-complete")
    assert report.layers == PLACES
    assert report.left == []
    for name, own in student.state_dict().items():
        place = name
        if name.startswith(layers):
            number, rest = name.removeprefix(f"{layers}.").split(".", 1)
            place = f"{layers}.{PLACES[int(number)]}.{rest}"
        first = 2 if architecture == "roberta" and "position" in name else 0
        assert torch.equal(own[first:], source[place][first:]), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_complete_student_of_as_many_layers_predicts_what_its_teacher_does(
    architecture: str,
) -> None:
    student = model_of(architecture)
    teacher = model_of(architecture, seed=1, positions=30)  # more than the student's
    ids = torch.arange(3, 15)[None]
    with torch.no_grad():
        initialize(student, teacher, "teacher-complete")
        assert torch.equal(student(input_ids=ids).logits, teacher(input_ids=ids).logits)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("how", ["teacher-complete", "teacher-embeddings"])
def test_tied_weights_stay_tied_and_the_teacher_is_its_own(architecture: str, how: Any) -> None:
    student, teacher = model_of(architecture), model_of(architecture, TEACHER_LAYERS, seed=1)
    before = state(teacher)
    initialize(student, teacher, how)
    words = student.get_input_embeddings().weight
    assert student.get_output_embeddings().weight is words
    assert words.requires_grad
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.add_(1)
    assert not names_taken(before, state(teacher))


def test_layers_are_evenly_spaced_with_the_first_and_the_last() -> None:
    assert layer_places(4, 12) == [0, 4, 7, 11]
    assert layer_places(6, 12) == [0, 2, 4, 7, 9, 11]
    assert layer_places(2, 4) == [0, 3]
    assert layer_places(3, 4) == [0, 2, 3]
    assert layer_places(1, 12) == [0]
    assert layer_places(5, 5) == [0, 1, 2, 3, 4]
    for teacher in range(2, 30):
        for student in range(2, teacher + 1):
            places = layer_places(student, teacher)
            assert places == sorted(set(places))
            assert (places[0], places[-1], len(places)) == (0, teacher - 1, student)


def test_a_shorter_table_of_positions_is_left() -> None:
    student, teacher = model_of("bert"), model_of("bert", seed=1, positions=15)
    report = initialize(student, teacher, "teacher-complete")
    assert report.left == ["bert.embeddings.position_embeddings.weight"]


def test_positions_pass_between_architectures_that_count_them_differently() -> None:
    student, teacher = model_of("roberta"), model_of("bert", seed=1)
    initialize(student, teacher, "teacher-embeddings")
    own = student.roberta.embeddings.position_embeddings.weight
    assert torch.equal(own[2:], teacher.bert.embeddings.position_embeddings.weight[:14])


def test_embeddings_of_another_architecture_are_taken_by_their_role() -> None:
    student, teacher = model_of("modernbert"), model_of("bert", seed=1)
    report = initialize(student, teacher, "teacher-embeddings")
    assert report.taken == ["decoder.bias", "model.embeddings.tok_embeddings.weight"]
    assert torch.equal(student.decoder.bias, teacher.cls.predictions.bias)
    words = teacher.bert.embeddings.word_embeddings.weight
    assert torch.equal(student.model.embeddings.tok_embeddings.weight, words)


def test_a_teacher_in_half_precision_is_taken_in_the_students() -> None:
    student, teacher = model_of("bert"), model_of("bert", seed=1).half()
    initialize(student, teacher, "teacher-complete")
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}
    words = teacher.get_input_embeddings().weight.float()
    assert torch.equal(student.get_input_embeddings().weight, words)


@pytest.mark.parametrize("how", ["teacher-complete", "teacher-embeddings"])
@pytest.mark.parametrize(
    ("shape", "named"), [({"width": 16}, "width 16"), ({"vocabulary": 61}, "61 x 8")]
)
def test_word_embeddings_that_do_not_fit_are_refused(
    how: Any, shape: dict[str, int], named: str
) -> None:
    student, teacher = model_of("bert"), model_of("bert", seed=1, **shape)
    before = state(student)
    with pytest.raises(InputError, match=named) as raised:
        initialize(student, teacher, how)
    assert "student is bert of 3 layers, width 8, 2 heads, and 60 x 8" in str(raised.value)
    assert "model.size" in str(raised.value.hint)
    assert not names_taken(before, state(student))


@pytest.mark.parametrize(
    ("architecture", "layers", "shape", "message", "hint"),
    [
        ("bert", 2, {}, "the student is bert of 3 layers.* the teacher bert of 2", "at most 2"),
        ("bert", 5, {"heads": 4}, "another number of heads.* 2 heads.* 4 heads", "model.size"),
        ("distilbert", 5, {}, "no layer of the teacher fits", "model.architecture"),
        ("modernbert", 5, {}, "no layer of the teacher fits", "model.architecture"),
    ],
)
def test_layers_that_do_not_fit_are_refused(
    architecture: str, layers: int, shape: dict[str, int], message: str, hint: str
) -> None:
    student, teacher = model_of("bert"), model_of(architecture, layers, seed=1, **shape)
    before = state(student)
    with pytest.raises(InputError, match=message) as raised:
        initialize(student, teacher, "teacher-complete")
    assert hint in str(raised.value.hint)
    assert not names_taken(before, state(student))

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from entromask.modeling import masked_lm
from entromask.modeling.architectures import ARCHITECTURES, build_model
from entromask.modeling.masked_lm import SparseMaskedLM, check_projection, weights_fingerprint
from entromask.presets import SIZES
from entromask.spec import RunSpec
from tests.entromask.words import word_rows, word_tokenizer


def _model(architecture: str, seed: int = 0, size: str = "tiny") -> PreTrainedModel:
    data = {"model": {"architecture": architecture, "size": size, "dropout": 0.0}}
    return build_model(RunSpec.parse(data).resolved().model, word_tokenizer(), 16, seed)


def _labels(rows: torch.Tensor) -> torch.Tensor:
    labels = torch.full_like(rows, -100)
    labels[:, 2:5] = rows[:, 2:5]
    return labels


@pytest.mark.parametrize("known", [True, False], ids=["table", "fallback"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_and_gradients_are_those_of_the_full_head(
    architecture: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not known:
        monkeypatch.delitem(masked_lm._HEADS, architecture)
    model, rows = _model(architecture), word_rows(3, 16)
    labels = _labels(rows)
    sparse = SparseMaskedLM(model)
    check_projection(sparse)

    (sparse(rows, labels).loss / (labels >= 0).sum()).backward()
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    model(input_ids=rows, labels=labels).loss.backward()

    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            assert ours[name] is not None, name
            torch.testing.assert_close(ours[name], parameter.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_at_chosen_positions_are_those_of_all_positions(architecture: str) -> None:
    sparse, rows = SparseMaskedLM(_model(architecture)).eval(), word_rows(3, 16)
    where = torch.rand(rows.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    with torch.inference_mode():
        everywhere = sparse.states(rows)
        chosen = sparse.states(rows, where=where)
    assert everywhere.shape == (48, 128)
    torch.testing.assert_close(chosen, everywhere[where.flatten()])


def test_an_architecture_outside_the_table_can_be_a_teacher() -> None:
    from transformers import AlbertConfig

    config = AlbertConfig(
        vocab_size=300,
        embedding_size=16,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
    )
    sparse = SparseMaskedLM(AutoModelForMaskedLM.from_config(config))
    check_projection(sparse)
    assert sparse.states(word_rows(2, 8)).shape == (16, 16)


def test_a_model_that_does_more_after_its_projection_is_refused() -> None:
    class Scaled(torch.nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.weight, self.bias = inner, inner.weight, inner.bias

        def forward(self, hidden: torch.Tensor) -> Any:
            return 3 * self.inner(hidden) + 1

    model = _model("bert")
    model.cls.predictions.decoder = Scaled(model.cls.predictions.decoder)
    with pytest.raises(Exception, match="after its vocabulary projection"):
        check_projection(SparseMaskedLM(model))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_come_from_the_seed(architecture: str) -> None:
    torch.manual_seed(123)
    one = weights_fingerprint(_model(architecture))
    torch.manual_seed(456)
    assert weights_fingerprint(_model(architecture)) == one
    assert weights_fingerprint(_model(architecture, seed=1)) != one


@pytest.mark.parametrize("size", SIZES)
def test_sizes_have_the_shape_of_the_table(size: str) -> None:
    config = _model("bert", size=size).config
    shape = (config.num_hidden_layers, config.hidden_size, config.num_attention_heads)
    assert shape == (SIZES[size].layers, SIZES[size].width, SIZES[size].heads)
    assert config.intermediate_size == SIZES[size].feed_forward

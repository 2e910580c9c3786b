"""The formulas for parameters and FLOPs agree with the models themselves."""

from __future__ import annotations

from typing import Any

import pytest

from entromask.estimates import parameters, training_flops
from entromask.modeling.architectures import ARCHITECTURES, build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.spec import Model
from entromask.training.cost import Cost


class Tokenizer:
    """What a model is built by: a vocabulary and the ids of its special tokens."""

    pad_token_id, cls_token_id, sep_token_id = 0, 2, 3
    bos_token_id = eos_token_id = None

    def __len__(self) -> int:
        return 1000


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_formulas_count_what_the_model_has(architecture: Any) -> None:
    model = Model(architecture=architecture, size="tiny", dropout=0.0)
    tokenizer: Any = Tokenizer()
    built = build_model(model, tokenizer, 64, seed=0)
    assert parameters(architecture, "tiny", 1000, 64) == built.num_parameters()
    cost = Cost.of(SparseMaskedLM(built), 64)
    flops = training_flops(architecture, "tiny", 1000, 64, 6400, rate=0.25, scored=640)
    assert flops == cost.training(6400, 1600) + cost.forward(640, 640)

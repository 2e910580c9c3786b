from __future__ import annotations

import pytest

from entromask.modeling.architectures import ARCHITECTURES, build_model
from entromask.modeling.masked_lm import SparseMaskedLM
from entromask.presets import SIZES
from entromask.spec import RunSpec
from entromask.training.cost import Cost
from tests.entromask.words import word_tokenizer


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_flops_count_each_matrix_twice_a_token_and_the_head_only_where_it_runs(
    architecture: str,
) -> None:
    spec = RunSpec.parse({"model": {"architecture": architecture, "size": "mini"}}).resolved()
    model = SparseMaskedLM(build_model(spec.model, word_tokenizer(300), 16, 0))
    cost, size = Cost.of(model, 16), SIZES["mini"]
    gates = 3 * (size.feed_forward * 3 // 8) if architecture == "modernbert" else None
    layer = 4 * size.width**2 + size.width * (gates or 2 * size.feed_forward)
    attention = 4 * 16 * size.width * size.layers
    assert cost.encoder == pytest.approx(2 * size.layers * layer + attention, rel=0.01)
    assert cost.head == 2 * (size.width**2 + 300 * size.width)
    assert cost.training(10, 2) == 3 * (10 * cost.encoder + 2 * cost.head)

"""Models that several threads of a process load."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from transformers import PreTrainedModel

from entromask.glue.fine_tuning import load_classifier
from entromask.modeling.references import load_masked_lm
from entromask.spec import ModelReference


def test_threads_that_load_models_leave_transformers_as_it_was(model_dir: Path) -> None:
    tie_weights = PreTrainedModel.tie_weights

    def load(number: int) -> None:
        if number % 2:
            load_classifier(model_dir, 2)
        else:
            load_masked_lm(ModelReference(path=str(model_dir)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load, range(24)))
    assert PreTrainedModel.tie_weights is tie_weights

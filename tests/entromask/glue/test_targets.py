"""The unit of a regression's labels: it decides nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from entromask.errors import InputError
from entromask.glue.data import load_task
from entromask.glue.protocols import fine_tune
from entromask.glue.targets import TargetScale
from entromask.parts.user_task import UserTask
from entromask.presets import PROTOCOLS

from .conftest import WORDS, sentence, write_rows

PROTOCOL = replace(
    PROTOCOLS["fixed"], learning_rate=1e-3, epochs=12, min_steps=0, batch_size=8, max_length=32
)
# Label = offset + unit x (0 to 5): ratings, salaries, years, a physicist's tiny numbers.
UNITS = [(0.0, 1.0), (40_000.0, 8_000.0), (1_900.0, 0.01), (-3.0, 1e-9), (1e9, 1.0)]


def scored(folder: Path, model_dir: Path, offset: float, unit: float) -> dict[str, Any]:
    for split, count in (("train", 48), ("validation", 24)):
        rows = [
            {
                "text": f"{WORDS[row % 6]} {sentence(row, 2 + row % 5)}",
                "label": offset + unit * (row % 6),
            }
            for row in range(count)
        ]
        write_rows(folder / f"{split}.jsonl", rows)
    task = UserTask.model_validate({"path": str(folder), "columns": ["text"], "labels": "number"})
    return fine_tune(model_dir, load_task(task.task("price")), PROTOCOL, 0)


@pytest.mark.slow
def test_scores_do_not_depend_on_the_unit_and_predictions_are_in_it(
    model_dir: Path, tmp_path: Path
) -> None:
    results = [
        scored(tmp_path / str(number), model_dir, offset, unit)
        for number, (offset, unit) in enumerate(UNITS)
    ]
    plain = np.array(results[0]["predictions"]["validation"])
    assert results[0]["score"] > 0.5
    for result, (offset, unit) in zip(results, UNITS, strict=True):
        predictions = np.array(result["predictions"]["validation"])
        labels = np.array(result["references"]["validation"])
        assert np.allclose((predictions - offset) / unit, plain, atol=1e-3)
        assert result["score"] == pytest.approx(results[0]["score"], abs=1e-4)
        # The metrics are those of the predictions in the user's unit.
        assert result["metrics"]["pearson"] == pytest.approx(
            stats.pearsonr(predictions, labels).statistic, abs=1e-4
        )
        assert np.abs(predictions - labels).mean() < 1.6 * unit


def test_the_scale_is_that_of_the_training_labels() -> None:
    labels = torch.tensor([40_000.0, 50_000.0, 80_000.0], dtype=torch.float64)
    scale = TargetScale.of(labels)
    assert scale.mean == pytest.approx(np.mean(labels.numpy()))
    assert scale.deviation == pytest.approx(np.std(labels.numpy()))
    assert scale.restored((labels - scale.mean) / scale.deviation).tolist() == labels.tolist()


def test_labels_that_are_all_equal_are_predicted_as_they_are() -> None:
    scale = TargetScale.of(torch.tensor([7.0, 7.0], dtype=torch.float64))
    assert scale == TargetScale(7.0, 1.0)
    assert scale.restored(torch.zeros(2)).tolist() == [7.0, 7.0]


def test_labels_beyond_what_can_be_squared_are_refused() -> None:
    with pytest.raises(InputError, match=r"reach 1e\+300") as caught:
        TargetScale.of(torch.tensor([1e300, -1e300], dtype=torch.float64))
    assert "unit" in str(caught.value.hint)

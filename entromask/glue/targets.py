"""The scale of a regression's labels: a model is trained on standardised ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from entromask.errors import InputError
from entromask.glue.batches import EncodedSplit

# Decimals of a standardised label. What is left of the user's unit after the division, in the last
# bits of a float, would otherwise lead two equal trainings apart.
_DECIMALS = 6


@dataclass(frozen=True)
class TargetScale:
    """Mean and standard deviation of the training labels, in the user's unit."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, labels: Tensor) -> TargetScale:
        """Measure the labels [N] of a training split; labels that are all equal get deviation 1.

        Raises:
            InputError: the labels are too large for their variance to be a number.
        """
        values = labels.double()
        mean, deviation = values.mean().item(), values.std(correction=0).item()
        if not math.isfinite(mean) or not math.isfinite(deviation):
            raise InputError(
                f"the labels of a regression reach {values.abs().max().item():.3g}, and their "
                "variance is beyond the largest number",
                "give the labels in a larger unit",
            )
        return cls(mean, deviation if deviation > 0 else 1.0)

    def standardized(self, rows: EncodedSplit) -> EncodedSplit:
        """Return the same rows with labels of about mean 0 and deviation 1, float32."""
        labels = (rows.labels.double() - self.mean) / self.deviation
        return replace(rows, labels=labels.round(decimals=_DECIMALS).float())

    def restored(self, predictions: Tensor) -> Tensor:
        """Return predictions of standardised labels in the user's unit, float64."""
        return predictions.double() * self.deviation + self.mean

    def rounded(self, value: float) -> float:
        """Round a prediction in the user's unit to 1e-5 of the deviation."""
        return round(value, 5 - math.floor(math.log10(self.deviation)))

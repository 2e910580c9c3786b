"""What a run costs, in floating-point operations."""

from __future__ import annotations

from dataclasses import dataclass

from entromask.modeling.masked_lm import SparseMaskedLM


@dataclass(frozen=True)
class Cost:
    """FLOPs per token of a model: two per weight and token, and the attention's own.

    A backward pass counts twice the forward pass (arXiv:2001.08361, section 2.1); the
    vocabulary head counts only for the positions that it runs on.
    """

    encoder: float
    head: float

    @classmethod
    def of(cls, model: SparseMaskedLM, sequence_length: int) -> Cost:
        weight, _ = model.projection()
        base = model.model.base_model
        tables = {id(weight)} | {
            id(parameter)
            for name, parameter in base.named_parameters()
            if "embedding" in name and parameter.ndim == 2
        }
        matrices = sum(
            parameter.numel()
            for parameter in base.parameters()
            if parameter.ndim == 2 and id(parameter) not in tables
        )
        config = model.config
        layers, width = config.num_hidden_layers, config.hidden_size
        attention = 4 * sequence_length * width * layers
        return cls(2.0 * matrices + attention, 2.0 * (width * weight.shape[1] + weight.numel()))

    def forward(self, tokens: float, predicted: float) -> float:
        return self.encoder * tokens + self.head * predicted

    def training(self, tokens: float, predicted: float) -> float:
        return 3 * self.forward(tokens, predicted)

"""A transformers masked language model whose vocabulary head runs only where it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from entromask.errors import InputError
from entromask.modeling.linear_cross_entropy import linear_cross_entropy

# How each architecture turns encoder states into what its vocabulary projection takes.
_HEADS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "bert": lambda model, hidden: model.cls.predictions.transform(hidden),
    "distilbert": lambda model, hidden: model.vocab_layer_norm(
        model.activation(model.vocab_transform(hidden))
    ),
    "roberta": lambda model, hidden: model.lm_head.layer_norm(
        nn.functional.gelu(model.lm_head.dense(hidden))
    ),
    "electra": lambda model, hidden: model.generator_predictions(hidden),
    "modernbert": lambda model, hidden: model.head(hidden),
}


class _Captured(Exception):  # noqa: N818 - it carries a result, not a failure
    """Leaves a forward pass just before the vocabulary projection."""


class SparseMaskedLM(nn.Module):
    """Wraps any `*ForMaskedLM` and never makes a tensor of size tokens x vocabulary.

    Architectures that are not in the table run their own head on every position and are
    stopped before the projection, so that any masked language model can be a teacher.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model
        if model.get_output_embeddings() is None:
            raise InputError(
                f"{model.config.model_type} has no vocabulary projection",
                "use a masked language model, such as one saved from AutoModelForMaskedLM",
            )

    @property
    def config(self) -> Any:
        return self.model.config

    def projection(self) -> tuple[Tensor, Tensor | None]:
        """The vocabulary projection: weight [V, e] and bias [V], or None."""
        output = self.model.get_output_embeddings()
        return output.weight, getattr(output, "bias", None)

    def states(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        where: Tensor | None = None,
    ) -> Tensor:
        """Head states, ready for the vocabulary projection.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 1 where there is text; None when every position is.
            where: [B, T] bool; None means everywhere.

        Returns:
            [N, e], the chosen positions in row-major order.
        """
        head = _HEADS.get(self.config.model_type)
        if head is None:
            hidden = self._capture(input_ids, attention_mask)
            return hidden.flatten(0, 1) if where is None else hidden[where]
        encoder = self.model.base_model
        hidden = encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return head(self.model, hidden.flatten(0, 1) if where is None else hidden[where])

    def _capture(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        def stop(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            raise _Captured(inputs[0])

        hook = self.model.get_output_embeddings().register_forward_pre_hook(stop)
        try:
            self.model(input_ids=input_ids, attention_mask=attention_mask)
        except _Captured as captured:
            states: Tensor = captured.args[0]
            return states
        finally:
            hook.remove()
        raise InputError(
            f"{self.config.model_type} does not use its output embeddings",
            "use a masked language model of another architecture",
        )

    def forward(self, input_ids: Tensor, labels: Tensor) -> Tensor:
        """Sum of the cross-entropy in nats over the positions with labels >= 0; both [B, T]."""
        where = labels >= 0
        weight, bias = self.projection()
        return linear_cross_entropy(
            self.states(input_ids, where=where), weight, bias, labels[where]
        )


def check_projection(model: SparseMaskedLM) -> None:
    """Makes sure that states and projection give the model's own logits.

    Raises:
        InputError: they do not, so that scores of this architecture would be wrong.
    """
    device = next(model.parameters()).device
    probe = torch.arange(8, device=device)[None] % model.config.vocab_size
    training = model.training
    model.eval()
    with torch.inference_mode():
        weight, bias = model.projection()
        logits = nn.functional.linear(model.states(probe), weight, bias)
        own = model.model(input_ids=probe).logits[0]
    model.train(training)
    if logits.shape != own.shape or not torch.allclose(logits, own, rtol=1e-3, atol=1e-3):
        raise InputError(
            f"the architecture {model.config.model_type} does something after its vocabulary "
            "projection that Entromask does not know",
            "use a model of architecture " + ", ".join(_HEADS),
        )


def model_tensors(model: SparseMaskedLM) -> dict[str, Tensor]:
    """Parameters, tied ones once, and the buffers that belong to the model's state."""
    persistent = model.model.state_dict().keys()
    buffers = {name: buffer for name, buffer in model.model.named_buffers() if name in persistent}
    return dict(model.model.named_parameters()) | buffers


def weights_fingerprint(model: nn.Module) -> str:
    """SHA-256 over the names, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()

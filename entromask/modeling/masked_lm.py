"""A transformers masked language model whose vocabulary head runs only where it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from entromask.errors import InputError
from entromask.modeling.linear_cross_entropy import Statistics, linear_cross_entropy

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


class Prediction(NamedTuple):
    """What a forward pass of training gives.

    Attributes:
        loss: the sum of the cross-entropy in nats, or the loss of an `Objective`; has a gradient.
        parts: [2], the sums that the loss of an objective is made of.
        statistics: of the predicted positions, in row-major order, where asked for.
        others: [m, e] head states of the further positions, where asked for.
    """

    loss: Tensor
    parts: Tensor | None = None
    statistics: Statistics | None = None
    others: Tensor | None = None


class Objective(Protocol):
    """A loss in place of the cross-entropy, such as that of distillation."""

    @property
    def where(self) -> Tensor:
        """[B, T] bool, the positions that it needs beside the predicted ones."""
        ...

    def loss(
        self,
        states: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        statistics: bool,
    ) -> tuple[Tensor, Tensor, Statistics | None]:
        """The loss at N positions, and [2] its parts without gradients; targets [N], or -100.

        Statistics of all N positions where they are asked for.
        """
        ...


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
        hidden = self._hidden(input_ids, attention_mask)
        return self._head(hidden.flatten(0, 1) if where is None else hidden[where])

    def _hidden(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """[B, T, d], what `_head` takes."""
        if self.config.model_type not in _HEADS:
            return self._capture(input_ids, attention_mask)
        encoder = self.model.base_model
        hidden: Tensor = encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        return hidden

    def _head(self, hidden: Tensor) -> Tensor:
        head = _HEADS.get(self.config.model_type)
        return hidden if head is None else head(self.model, hidden)

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

    def forward(
        self,
        input_ids: Tensor,
        labels: Tensor,
        statistics: bool = False,
        also: Tensor | None = None,
        objective: Objective | None = None,
    ) -> Prediction:
        """The loss at the positions with labels >= 0, and what else the step asks about.

        Args:
            input_ids, labels: [B, T].
            statistics: of these positions, see `Prediction`.
            also: [B, T] bool, further positions whose head states are wanted, without gradients.
            objective: in place of the cross-entropy.
        """
        hidden = self._hidden(input_ids)
        predicted = labels >= 0
        where = predicted if objective is None else predicted | objective.where
        weight, bias = self.projection()
        states, targets = self._head(hidden[where]), labels[where]
        parts, found = None, None
        if objective is not None:
            loss, parts, found = objective.loss(states, weight, bias, targets, statistics)
            if found is not None:
                found = Statistics(*(values[targets >= 0] for values in found))
        else:
            found = Statistics.empty(len(targets), states.device) if statistics else None
            loss = linear_cross_entropy(states, weight, bias, targets, found)
        others = None
        if also is not None:
            with torch.no_grad():
                others = self._head(hidden[also])
        return Prediction(loss, parts, found, others)


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

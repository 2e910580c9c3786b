from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from entromask.modeling import distillation as module
from entromask.modeling.distillation import (
    DistillationLoss,
    TeacherLogits,
    TeacherTopK,
    distillation_loss,
    top_k_probabilities,
)
from entromask.modeling.linear_cross_entropy import linear_cross_entropy

POSITIONS, WIDTH, VOCABULARY = 50, 16, 300
MLM, DISTILLATION = 0.3, 0.7


class Case(NamedTuple):
    """A student's head and a teacher's of another width, on the same positions."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    targets: Tensor
    teacher_hidden: Tensor
    teacher_weight: Tensor
    teacher_bias: Tensor | None

    @property
    def leaves(self) -> list[Tensor]:
        return [leaf for leaf in (self.hidden, self.weight, self.bias) if leaf is not None]

    @property
    def gradients(self) -> list[Tensor]:
        return [leaf.grad.double() for leaf in self.leaves if leaf.grad is not None]

    def teacher(self, top_k: int | None = None) -> TeacherLogits:
        return TeacherLogits(*self[4:], top_k)


def case(
    bias: bool = True,
    positions: str = "masked",
    dtype: torch.dtype = torch.float32,
    count: int = POSITIONS,
    vocabulary: int = VOCABULARY,
) -> Case:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)

    targets = torch.randint(0, vocabulary, (count,), generator=generator)
    if positions == "all":
        targets[torch.rand(count, generator=generator) < 0.6] = -100
    return Case(
        normal(count, WIDTH).requires_grad_(),
        normal(vocabulary, WIDTH, scale=0.7).requires_grad_(),
        normal(vocabulary).requires_grad_() if bias else None,
        targets,
        normal(count, WIDTH // 2),
        normal(vocabulary, WIDTH // 2),
        normal(vocabulary) if bias else None,
    )


def ours(
    of: Case,
    teacher: TeacherLogits | TeacherTopK,
    temperature: float = 2.0,
    mlm: float = MLM,
    statistics: bool = False,
) -> DistillationLoss:
    return distillation_loss(
        *of[:4],
        teacher,
        mlm_scale=mlm,
        distillation_scale=DISTILLATION,
        temperature=temperature,
        statistics=statistics,
    )


def logits_of(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(
        hidden.double(), weight.double(), None if bias is None else bias.double()
    )


def in_buckets(probabilities: Tensor, ids: Tensor | None) -> Tensor:
    """[N, k + 1]: the probabilities at `ids`, and the sum of all others."""
    if ids is None:
        return probabilities
    others = torch.ones_like(probabilities).scatter(1, ids, 0.0)
    tail = (probabilities * others).sum(1, keepdim=True)
    return torch.cat([probabilities.gather(1, ids), tail], 1)


def teacher_probabilities(of: Case, temperature: float) -> Tensor:
    return (logits_of(*of[4:]) / temperature).softmax(1)


def plain(of: Case, temperature: float, top_k: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, sum of the cross-entropy and sum of KL, from full logits in float64."""
    logits = logits_of(*of[:3])
    mlm = torch.nn.functional.cross_entropy(logits, of.targets, reduction="sum")
    teacher = teacher_probabilities(of, temperature)
    ids = None if top_k is None else teacher.topk(top_k).indices
    q, p = in_buckets(teacher, ids), in_buckets((logits / temperature).softmax(1), ids)
    kl = (torch.xlogy(q, q) - torch.xlogy(q, p)).sum()
    return MLM * mlm + DISTILLATION * temperature**2 * kl, mlm, kl


def expected(of: Case, temperature: float, top_k: int | None) -> tuple[list[Tensor], list[Tensor]]:
    """The three values of `plain`, and the gradients of a third of the loss."""
    double = of._replace(
        **{
            name: leaf.detach().double().requires_grad_()
            for name, leaf in zip(("hidden", "weight", "bias"), of[:3], strict=True)
            if leaf is not None
        }
    )
    values = plain(double, temperature, top_k)
    (values[0] / 3).backward()
    return [value.detach() for value in values], double.gradients


def from_store(of: Case, temperature: float, top_k: int) -> TeacherTopK:
    found = teacher_probabilities(of, temperature).topk(top_k)
    return TeacherTopK(found.indices, found.values.float())


@pytest.fixture(params=[VOCABULARY, 7 * VOCABULARY + 1, 10**6], ids=["row", "seven", "whole"])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Elements of a chunk; a tile is of three rows at most."""
    size: int = request.param
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", {"cpu": size})
    monkeypatch.setattr(module, "_TILE_ELEMENTS", {"cpu": min(size, 3 * VOCABULARY)})
    return size


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("positions", ["masked", "all"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 3.0, 3.5])
@pytest.mark.parametrize("kind", ["full", "top-k", "stored"])
def test_loss_and_gradients_equal_those_of_full_logits(
    bias: bool, positions: str, temperature: float, kind: str
) -> None:
    of = case(bias, positions)
    top_k = None if kind == "full" else 5
    teacher = from_store(of, temperature, 5) if kind == "stored" else of.teacher(top_k)
    found = ours(of, teacher, temperature)
    (found.loss / 3).backward()
    values, gradients = expected(of, temperature, top_k)
    assert found.loss.dtype == torch.float32
    for value, own in zip(values, found[:3], strict=True):
        torch.testing.assert_close(own.double(), value, rtol=1e-5, atol=1e-5)
    assert len(gradients) == 2 + bias
    for gradient, own in zip(gradients, of.gradients, strict=True):
        torch.testing.assert_close(own, gradient, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("temperature", [2.0, 3.5])
@pytest.mark.parametrize("top_k", [None, 3])
def test_gradients_are_those_of_finite_differences(temperature: float, top_k: int | None) -> None:
    of = case(positions="all", dtype=torch.float64, count=6, vocabulary=20)

    def loss(hidden: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        student = of._replace(hidden=hidden, weight=weight, bias=bias)
        return ours(student, of.teacher(top_k), temperature).loss

    assert torch.autograd.gradcheck(loss, of.leaves)


@pytest.mark.parametrize("temperature", [2.0, 3.0])
def test_keeping_the_whole_vocabulary_is_no_top_k(temperature: float) -> None:
    full, kept = case(), case()
    of_full = ours(full, full.teacher(), temperature)
    of_kept = ours(kept, kept.teacher(VOCABULARY), temperature)
    (of_full.loss + of_kept.loss).backward()
    torch.testing.assert_close(of_kept.kl_sum, of_full.kl_sum, rtol=1e-6, atol=1e-5)
    for one, other in zip(kept.gradients, full.gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    stored = ours(full, from_store(full, temperature, VOCABULARY), temperature)
    torch.testing.assert_close(stored.kl_sum, of_full.kl_sum, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("top_k", [None, 7, VOCABULARY])
def test_a_student_that_equals_its_teacher_has_nothing_to_learn_from_it(top_k: int | None) -> None:
    of = case()
    itself = TeacherLogits(*(tensor.detach() for tensor in of[:3] if tensor is not None), top_k)
    found = ours(of, itself, mlm=0.0)
    found.loss.backward()
    assert abs(found.kl_sum.item()) < 1e-4
    assert all(gradient.abs().max() < 1e-5 for gradient in of.gradients)
    assert found.mlm_sum > 1


def test_without_distillation_it_is_the_cross_entropy() -> None:
    of, other = case(), case()
    found = distillation_loss(
        *of[:4], of.teacher(), mlm_scale=1.0, distillation_scale=0.0, temperature=2.0
    )
    alone = linear_cross_entropy(*other[:4])
    (found.loss + alone).backward()
    torch.testing.assert_close(found.loss, alone)
    for one, reference in zip(of.gradients, other.gradients, strict=True):
        torch.testing.assert_close(one, reference, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("top_k", [None, 2])
def test_large_logits_stay_finite(temperature: float, top_k: int | None) -> None:
    # Teacher and student are certain, of the same token and of opposite ones.
    hidden = torch.full((2, 4), 100.0, requires_grad=True)
    weight = torch.tensor([[1.0] * 4, [-1.0] * 4, [0.0] * 4, [0.5] * 4], requires_grad=True)
    teacher = TeacherLogits(
        torch.stack([torch.full((4,), 100.0), torch.full((4,), -100.0)]),
        weight.detach(),
        None,
        top_k,
    )
    found = distillation_loss(
        hidden,
        weight,
        None,
        torch.tensor([0, 1]),
        teacher,
        mlm_scale=1.0,
        distillation_scale=1.0,
        temperature=temperature,
    )
    found.loss.backward()
    assert found.mlm_sum.item() == pytest.approx(800.0)
    assert found.kl_sum.item() == pytest.approx(800.0 / temperature)
    assert hidden.grad is not None
    assert weight.grad is not None
    assert torch.isfinite(hidden.grad).all()
    assert torch.isfinite(weight.grad).all()


def test_a_student_that_leaves_the_tail_nothing_gets_a_finite_push_towards_it() -> None:
    bias = torch.tensor([500.0, 0.0, 0.0], requires_grad=True)
    teacher = TeacherTopK(torch.tensor([[0]]), torch.tensor([[0.5]]))
    found = distillation_loss(
        torch.zeros(1, 1),
        torch.zeros(3, 1),
        bias,
        torch.tensor([-100]),
        teacher,
        mlm_scale=1.0,
        distillation_scale=1.0,
        temperature=1.0,
    )
    found.loss.backward()
    assert torch.isfinite(found.loss)
    assert bias.grad is not None
    assert bias.grad[0].item() == pytest.approx(0.5)
    assert torch.isfinite(bias.grad).all()


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("temperature", [2.0, 3.5])
@pytest.mark.parametrize("top_k", [None, 5])
def test_statistics_are_those_of_the_student_at_temperature_one(
    temperature: float, top_k: int | None
) -> None:
    of = case(positions="all")
    logs = logits_of(*of[:3]).log_softmax(1)
    there = of.targets >= 0
    of.targets[there.nonzero()[::2]] = logs.argmax(1)[there.nonzero()[::2]]
    found = ours(of, of.teacher(top_k), temperature, statistics=True).statistics
    assert found is not None
    entropy = -(logs.exp() * logs).sum(1) * there
    surprisal = -logs.gather(1, of.targets.clamp(min=0)[:, None])[:, 0] * there
    torch.testing.assert_close(found.entropy.double(), entropy, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.surprisal.double(), surprisal, rtol=1e-5, atol=1e-5)
    assert torch.equal(found.correct, (logs.argmax(1) == of.targets) & there)
    assert 0 < found.correct.sum() < there.sum() < POSITIONS
    assert not any(statistic.requires_grad for statistic in found)
    assert ours(of, of.teacher(top_k)).statistics is None


def test_statistics_leave_loss_and_gradients_alone() -> None:
    without, with_them = case(), case()
    losses = [
        ours(without, without.teacher(4)).loss,
        ours(with_them, with_them.teacher(4), statistics=True).loss,
    ]
    for loss in losses:
        loss.backward()
    assert torch.equal(*losses)
    for one, other in zip(without.gradients, with_them.gradients, strict=True):
        assert torch.equal(one, other)


def test_only_the_loss_is_differentiable_and_only_where_a_gradient_is_wanted() -> None:
    of = case()
    found = ours(of, of.teacher())
    assert found.loss.requires_grad
    assert not found.mlm_sum.requires_grad
    assert not found.kl_sum.requires_grad
    with torch.no_grad():
        alone = ours(of, of.teacher())
    assert not alone.loss.requires_grad
    assert torch.equal(alone.loss, found.loss)


def test_a_teacher_of_inference_mode_is_taken() -> None:
    of, other = case(), case()
    with torch.inference_mode():
        states = of.teacher_hidden.clone()
    weight = of.teacher_weight.requires_grad_()
    found = ours(of, TeacherLogits(states, weight, of.teacher_bias, 4))
    found.loss.backward()
    assert torch.equal(found.loss, ours(other, other.teacher(4)).loss)
    assert weight.grad is None


def test_no_position_is_a_loss_of_zero_with_zero_gradients() -> None:
    of = case(count=0)
    for teacher in (of.teacher(), of.teacher(4), from_store(of, 2.0, 4)):
        found = ours(of, teacher, statistics=True)
        found.loss.backward()
        assert found.loss.item() == found.mlm_sum.item() == found.kl_sum.item() == 0
        assert found.statistics is not None
        assert all(len(statistic) == 0 for statistic in found.statistics)
        assert not any(gradient.any() for gradient in of.gradients)


def test_autocast_computes_in_its_precision_and_keeps_full_gradients() -> None:
    of = case()
    full = ours(of, of.teacher(4), statistics=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = ours(of, of.teacher(4), statistics=True)
    rounded.loss.backward()
    assert rounded.loss.dtype == torch.float32
    assert rounded.loss.item() != full.loss.item()
    assert rounded.loss.item() == pytest.approx(full.loss.item(), rel=0.02)
    assert of.weight.grad is not None
    assert of.weight.grad.dtype == torch.float32


def test_a_small_share_of_the_loss_does_not_vanish_in_half_precision() -> None:
    # As for a mean over many positions: these scales times a probability are 0 in float16.
    of, reference = case(dtype=torch.float16), case()
    for one, factor in ((of, 1e-7), (reference, 1.0)):
        loss = distillation_loss(
            *one[:4],
            one.teacher(),
            mlm_scale=factor,
            distillation_scale=factor,
            temperature=2.0,
        ).loss
        (loss / factor).backward()
    assert of.gradients[0].abs().max() > 0.1
    torch.testing.assert_close(of.gradients[0], reference.gradients[0], rtol=0.1, atol=0.05)


class Largest(TorchDispatchMode):
    """Notes how many elements the largest tensor has that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


def test_no_tensor_is_larger_than_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_ELEMENTS", {"cpu": 20 * VOCABULARY})
    of = case()
    stored = from_store(of, 2.0, 5)
    for teacher in (of.teacher(), of.teacher(5), stored):
        with Largest() as largest:
            ours(of, teacher, statistics=True).loss.backward()
        assert largest.elements == 20 * VOCABULARY
    with Largest() as largest:
        top_k_probabilities(*of[:3], 5, 2.0)
    assert largest.elements == 20 * VOCABULARY


@pytest.mark.usefixtures("chunk")
@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.5])
def test_top_k_probabilities_are_the_largest_of_the_whole_softmax(temperature: float) -> None:
    of = case()
    ids, probabilities = top_k_probabilities(*of[:3], 9, temperature)
    found = (logits_of(*of[:3]) / temperature).softmax(1).topk(9)
    assert torch.equal(ids, found.indices)
    torch.testing.assert_close(probabilities.double(), found.values, rtol=1e-5, atol=1e-7)
    assert not probabilities.requires_grad


def test_what_does_not_fit_together_is_named() -> None:
    of = case()
    with pytest.raises(ValueError, match="vocabulary has 299 tokens, the student's 300"):
        ours(of, TeacherLogits(of.teacher_hidden, of.teacher_weight[:-1], None))
    with pytest.raises(ValueError, match="the teacher predicts 49 positions, the student 50"):
        ours(of, TeacherLogits(of.teacher_hidden[1:], of.teacher_weight, None))
    with pytest.raises(ValueError, match="top_k is 301, the vocabulary has 300 tokens"):
        ours(of, of.teacher(301))


@pytest.mark.gpu
@pytest.mark.parametrize("top_k", [None, 5])
@pytest.mark.parametrize("temperature", [2.0, 3.5])
def test_cuda_agrees_with_float64(top_k: int | None, temperature: float) -> None:
    of = case(positions="all")
    values, gradients = expected(of, temperature, top_k)
    there = Case(*(None if t is None else t.detach().cuda() for t in of))  # type: ignore[arg-type]
    for leaf in there.leaves:
        leaf.requires_grad_()
    found = ours(there, there.teacher(top_k), temperature, statistics=True)
    (found.loss / 3).backward()
    for value, own in zip(values, found[:3], strict=True):
        torch.testing.assert_close(own.cpu().double(), value, rtol=1e-4, atol=1e-4)
    for gradient, own in zip(gradients, there.gradients, strict=True):
        torch.testing.assert_close(own.cpu(), gradient, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("temperature", [2.0, 3.5])
def test_where_the_teacher_says_nothing_only_the_target_counts(temperature: float) -> None:
    known = torch.arange(POSITIONS) % 3 > 0
    whole, split = case(dtype=torch.float64), case(dtype=torch.float64)
    ids, probabilities = top_k_probabilities(*whole[4:], 8, temperature)
    kept = TeacherTopK(ids, probabilities, known)
    loss = ours(whole, kept, temperature)
    loss.loss.backward()  # type: ignore[no-untyped-call]
    compared = distillation_loss(
        split.hidden[known],
        split.weight,
        split.bias,
        split.targets[known],
        TeacherTopK(ids[known], probabilities[known]),
        mlm_scale=MLM,
        distillation_scale=DISTILLATION,
        temperature=temperature,
    )
    logits = torch.nn.functional.linear(split.hidden[~known], split.weight, split.bias)
    alone = torch.nn.functional.cross_entropy(logits, split.targets[~known], reduction="sum")
    expected = compared.loss + MLM * alone
    expected.backward()  # type: ignore[no-untyped-call]
    assert loss.loss.item() == pytest.approx(expected.item(), rel=1e-9)
    assert loss.kl_sum.item() == pytest.approx(compared.kl_sum.item(), rel=1e-9)
    for own, other in zip(whole.gradients, split.gradients, strict=True):
        # The kernel keeps its scales in float32.
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-7)

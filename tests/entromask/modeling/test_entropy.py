import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from entromask.modeling.entropy import token_entropy, token_log_probability


def head(
    rows: int, width: int, vocabulary: int, scale: float, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Random states, weight and bias; the logits have a standard deviation of about `scale`."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=generator)
    weight = torch.randn(vocabulary, width, generator=generator) * (scale / width**0.5)
    return hidden, weight, torch.randn(vocabulary, generator=generator) * 0.3 * scale


def exact_log_probabilities(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = hidden.double() @ weight.double().T
    return (logits if bias is None else logits + bias.double()).log_softmax(1)


def exact_entropy(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    parts = []
    for start in range(0, len(hidden), 512):
        logs = exact_log_probabilities(hidden[start : start + 512], weight, bias)
        parts.append(-(logs.exp() * logs).sum(1))
    return torch.cat(parts)


def errors(*arguments: Tensor | None) -> float:
    hidden, weight, bias = arguments
    assert hidden is not None
    assert weight is not None
    difference = token_entropy(hidden, weight, bias) - exact_entropy(hidden, weight, bias)
    return float(difference.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("scale", [0.02, 1.0, 4.0])
def test_entropy_of_4096_positions_over_30522_types_is_exact_to_1e_4(scale: float) -> None:
    hidden, weight, bias = head(4096, 64, 30522, scale)
    assert errors(hidden, weight, bias) < 1e-4


@pytest.mark.parametrize("scale", [10.0, 30.0])
def test_entropy_of_large_logits_is_exact_to_1e_4(scale: float) -> None:
    hidden, weight, bias = head(512, 256, 30522, scale)
    assert errors(hidden, weight, bias) < 1e-4


@pytest.mark.parametrize("offset", [-1000.0, 1000.0])
def test_an_offset_of_all_logits_changes_nothing(offset: float) -> None:
    hidden, weight, bias = head(64, 32, 3000, 2.0)
    # float32 logits near 1,000 are 6e-5 apart.
    assert errors(hidden, weight, bias + offset) < 1e-4


@pytest.mark.parametrize("vocabulary", [1, 7, 1023, 1024, 1025, 2050])
@pytest.mark.parametrize("rows", [1, 511, 512, 513])
def test_every_shape_of_last_tile_is_exact(rows: int, vocabulary: int) -> None:
    hidden, weight, bias = head(rows, 16, vocabulary, 3.0)
    assert errors(hidden, weight, bias) < 1e-5
    assert errors(hidden, weight, None) < 1e-5


def test_logits_that_grow_or_fall_from_tile_to_tile_are_exact() -> None:
    hidden, weight, bias = head(8, 16, 6000, 1.0)
    for slope in (40.0, -40.0):
        ramp = torch.linspace(0, slope, 6000)
        assert errors(hidden, weight, bias + ramp) < 1e-5


def test_uniform_and_certain_predictions_have_ln_v_and_0_nats() -> None:
    hidden, weight = torch.ones(3, 4), torch.zeros(5000, 4)
    assert token_entropy(hidden, weight, None).tolist() == pytest.approx([math.log(5000)] * 3)
    weight[4321] = 100.0
    assert token_entropy(hidden, weight, None).tolist() == [0.0] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_floating_point_type_is_computed_in_float32_or_better(dtype: torch.dtype) -> None:
    hidden, weight, bias = (part.to(dtype) for part in head(100, 32, 3000, 3.0))
    entropy = token_entropy(hidden, weight, bias)
    assert entropy.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert (entropy - exact_entropy(hidden, weight, bias)).abs().max() < tolerance
    # As under autocast: states in half precision, weights in full.
    full = (weight.float(), bias.float())
    assert (token_entropy(hidden, *full) - exact_entropy(hidden, *full)).abs().max() < 1e-5


def test_autocast_does_not_lower_the_precision() -> None:
    hidden, weight, bias = head(100, 32, 3000, 3.0)
    targets = torch.arange(100)
    exact = exact_log_probabilities(hidden, weight, bias).gather(1, targets[:, None])[:, 0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert errors(hidden, weight, bias) < 1e-5
        logs = token_log_probability(hidden, weight, bias, targets)
    assert (logs - exact).abs().max() < 1e-5


def test_no_positions_give_no_values() -> None:
    hidden, weight, bias = head(0, 8, 100, 1.0)
    assert token_entropy(hidden, weight, bias).shape == (0,)
    targets = torch.zeros(0, dtype=torch.int64)
    assert token_log_probability(hidden, weight, bias, targets).shape == (0,)


def test_no_gradient_is_kept_and_no_argument_changed() -> None:
    hidden, weight, bias = head(20, 8, 100, 1.0)
    before = [part.clone() for part in (hidden, weight, bias)]
    hidden.requires_grad_()
    weight.requires_grad_()
    assert not token_entropy(hidden, weight, bias).requires_grad
    targets = torch.arange(20)
    assert not token_log_probability(hidden, weight, bias, targets).requires_grad
    assert all(torch.equal(*pair) for pair in zip(before, (hidden, weight, bias), strict=True))


def test_logits_that_are_not_finite_show_in_their_row_alone() -> None:
    hidden, weight, bias = head(3, 8, 2000, 1.0)
    hidden[1, 0] = torch.nan
    assert token_entropy(hidden, weight, bias).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("scale", [0.5, 10.0])
def test_log_probability_of_the_target(scale: float, with_bias: bool) -> None:
    hidden, weight, bias = head(600, 32, 5000, scale)
    given = bias if with_bias else None
    targets = torch.randint(0, 5000, (600,), generator=torch.Generator().manual_seed(1))
    exact = exact_log_probabilities(hidden, weight, given).gather(1, targets[:, None])[:, 0]
    assert (token_log_probability(hidden, weight, given, targets) - exact).abs().max() < 1e-4
    likeliest = exact_log_probabilities(hidden * 50, weight, given).argmax(1)
    assert token_log_probability(hidden * 50, weight, given, likeliest).max() <= 0


_HIDDEN, _WEIGHT = torch.zeros(3, 8), torch.zeros(10, 8)


@pytest.mark.parametrize(
    ("hidden", "weight", "bias", "message"),
    [
        (torch.zeros(3, 4, 8), _WEIGHT, None, "hidden must have 2 dimensions"),
        (_HIDDEN, torch.zeros(10, 7), None, "differ in width"),
        (_HIDDEN, _WEIGHT, torch.zeros(9), "bias has 9 entries, weight 10 rows"),
        (_HIDDEN, _WEIGHT, torch.zeros(10, 1), "bias must have 1 dimensions"),
        (_HIDDEN.long(), _WEIGHT, None, "hidden must be floating point, not torch.int64"),
        (_HIDDEN, torch.zeros(0, 8), None, "vocabulary is empty"),
    ],
)
def test_shapes_that_do_not_fit_are_named(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        token_entropy(hidden, weight, bias)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (torch.zeros(2, dtype=torch.int64), "targets must be 3 token ids"),
        (torch.zeros(3), "targets must be 3 token ids"),
        (torch.tensor([0, 10, 1]), r"targets must lie in 0\.\.9"),
        (torch.tensor([0, -100, 1]), r"targets must lie in 0\.\.9"),
    ],
)
def test_targets_that_do_not_fit_are_named(targets: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        token_log_probability(_HIDDEN, _WEIGHT, None, targets)


# Peak memory in MiB of one call after another, beyond what the process held before it. The peak
# that getrusage reports is inherited from the parent, so the kernel's own counter is reset.
_MEASURE = """
import re, sys, torch
from pathlib import Path
from entromask.modeling.entropy import token_entropy, token_log_probability

def status(name):
    text = Path("/proc/self/status").read_text()
    return int(re.search(name + r":\\s+(\\d+)", text)[1]) / 1024

def extra(call):
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    call()
    return status("VmHWM") - before

hidden, weight, bias = torch.randn(4096, 256), torch.randn(30522, 256), torch.randn(30522)
targets = torch.zeros(4096, dtype=torch.int64)
token_entropy(hidden[:8], weight[:8], bias[:8])
print(extra(lambda: token_entropy(hidden, weight, bias)))
print(extra(lambda: token_log_probability(hidden, weight, bias, targets)))
print(extra(lambda: torch.nn.functional.linear(hidden, weight, bias)))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_it_takes_at_most_100_mib_beyond_its_arguments() -> None:
    done = subprocess.run([sys.executable, "-c", _MEASURE], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    entropy, log_probability, logits = map(float, done.stdout.split())
    assert entropy < 100
    assert log_probability < 100
    assert logits > 400  # the measurement sees what it should: 477 MiB


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_tiles_on_cuda_are_exact(dtype: torch.dtype) -> None:
    parts = [part.to("cuda", dtype) for part in head(4096, 256, 30522, 3.0)]
    targets = torch.arange(4096, device="cuda")
    exact = exact_entropy(*parts)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    entropy = token_entropy(*parts)
    assert torch.cuda.max_memory_allocated() - before < 100 * 2**20
    assert (entropy - exact).abs().max() < 1e-4
    logs = exact_log_probabilities(*parts).gather(1, targets[:, None])[:, 0]
    assert (token_log_probability(*parts, targets) - logs).abs().max() < 1e-4


@pytest.mark.gpu
def test_bfloat16_on_cuda_is_exact_to_the_rounding_of_bfloat16() -> None:
    # On Hopper with liger-kernel[cutedsl] this is its fused kernel, elsewhere our tiles.
    parts = [part.to("cuda", torch.bfloat16) for part in head(4096, 256, 30522, 3.0)]
    entropy, exact = token_entropy(*parts), exact_entropy(*parts)
    assert ((entropy - exact).abs() <= 0.02 + 2.0**-7 * exact).all()

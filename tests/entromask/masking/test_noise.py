import subprocess
import sys

import pytest
import torch

from entromask.masking.noise import uniform


def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
    return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])


def test_noise_is_uniform_between_0_and_1() -> None:
    noise = uniform(0, "a", 0, torch.arange(4096), 256)
    assert noise.dtype == torch.float64
    assert noise.min() > 0
    assert noise.max() < 1
    observed = torch.histc(noise, bins=1000, min=0, max=1)
    expected = noise.numel() / 1000
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    assert 999 - 5 * 44.7 < chi_square < 999 + 5 * 44.7  # standard deviation: sqrt(2 x 999)


def test_every_bit_that_the_noise_has_is_fair() -> None:
    noise = uniform(3, "a", 0, torch.arange(2048), 128)
    bits = (noise * 2.0**52).to(torch.int64)
    for bit in range(52):
        share = float(((bits >> bit) & 1).double().mean())
        assert abs(share - 0.5) < 5 * 0.5 / noise.numel() ** 0.5, bit


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"stream": "b"},
        {"stream": 7},
        {"epoch": 1},
        {"row_ids": torch.arange(1, 2049)},
        {"row_ids": torch.arange(2048) + 2**40},
    ],
)
def test_another_seed_stream_epoch_or_row_is_independent(other: dict[str, object]) -> None:
    arguments = {"seed": 0, "stream": "a", "epoch": 0, "row_ids": torch.arange(2048), "length": 128}
    first, second = uniform(**arguments), uniform(**(arguments | other))  # type: ignore[arg-type]
    limit = 5 / first.numel() ** 0.5
    assert abs(correlation(first, second)) < limit
    # Independent of it at the neighbouring positions as well.
    assert abs(correlation(first[:, 1:], second[:, :-1])) < limit
    # And of the order statistics that masks are made of: the overlap of the top 16 of 128.
    both = [
        torch.zeros(2048, 128).scatter_(1, n.topk(16, dim=1).indices, 1) for n in (first, second)
    ]
    overlap = float((both[0] * both[1]).sum() / 2048)
    assert abs(overlap - 2.0) < 5 * 1.3 / 2048**0.5


def test_positions_of_a_row_are_independent() -> None:
    noise = uniform(0, "a", 0, torch.arange(20000), 8)
    matrix = torch.corrcoef(noise.T) - torch.eye(8)
    assert matrix.abs().max() < 5 / 20000**0.5


def test_noise_does_not_depend_on_the_batch_or_the_length() -> None:
    whole = uniform(5, "a", 2, torch.arange(100), 64)
    some = torch.tensor([42, 7, 99])
    assert torch.equal(uniform(5, "a", 2, some, 64), whole[some])
    assert torch.equal(uniform(5, "a", 2, some, 16), whole[some, :16])


@pytest.mark.slow
def test_noise_is_the_same_in_every_process() -> None:
    # Python's own hash of a string is not; a resumed run lives in another process.
    code = (
        "import torch; from entromask.masking.noise import uniform;"
        "print(uniform(9, 'selection', 3, torch.tensor([4]), 2).tolist())"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == str(uniform(9, "selection", 3, torch.tensor([4]), 2).tolist())


def test_noise_keeps_its_values() -> None:
    # A change here changes the masks of every run: published seeds would mean something else.
    # The reference computes the same hash with Python's integers.
    import hashlib

    bits = (1 << 64) - 1
    golden = 0x9E3779B97F4A7C15

    def mix(state: int) -> int:
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & bits
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & bits
        return state ^ (state >> 31)

    stream = int.from_bytes(hashlib.blake2b(b"a", digest_size=8).digest(), "little")
    key = 0
    for part in (11, stream, 6):
        key = mix((key + part + golden) & bits)
    row = mix((123 * golden + key) & bits)
    expected = [((mix((row + (t + 1) * golden) & bits) >> 12) + 0.5) / 2**52 for t in range(5)]
    assert uniform(11, "a", 6, torch.tensor([123]), 5)[0].tolist() == expected


@pytest.mark.gpu
def test_noise_is_the_same_on_cuda() -> None:
    rows = torch.arange(1000)
    on_cuda = uniform(0, "a", 1, rows.cuda(), 128)
    assert torch.equal(on_cuda.cpu(), uniform(0, "a", 1, rows, 128))

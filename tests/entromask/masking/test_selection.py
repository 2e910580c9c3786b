from itertools import permutations

import pytest
import torch
from torch import Tensor

from entromask.masking.noise import uniform
from entromask.masking.selection import HARD_SELECTIONS, SELECTIONS, budget, decided_by_ties, select


def noise_of(rows: int, length: int, seed: int = 0):  # type: ignore[no-untyped-def]
    return lambda stream: uniform(seed, stream, 0, torch.arange(rows), length)


def chosen(scores: list[float], rule: str, rate: float, **options: float) -> list[int]:
    maskable = torch.ones(1, len(scores), dtype=torch.bool)
    noise = noise_of(1, len(scores))
    picked = select(torch.tensor([scores]), maskable, rate=rate, rule=rule, noise=noise, **options)
    return picked[0].nonzero().squeeze(1).tolist()


SCORES = [0.1, 0.9, 0.5, 0.3, 0.7, 0.2, 0.8, 0.4, 0.6, 1.0]  # ranks from the top: 9 1 6 4 8 2 7 ...


def test_top_selects_the_highest() -> None:
    assert chosen(SCORES, "top", 0.3) == [1, 6, 9]


def test_bottom_selects_the_lowest() -> None:
    assert chosen(SCORES, "bottom", 0.3) == [0, 3, 5]


def test_middle_selects_the_ranks_around_the_median() -> None:
    assert chosen(SCORES, "middle", 0.4) == [2, 4, 7, 8]  # 0.4 to 0.7
    assert chosen(SCORES[:9], "middle", 0.33) == [2, 7, 8]  # 0.4 to 0.6 of 0.1 to 0.9
    assert chosen(SCORES, "middle", 0.3) == [2, 4, 8]  # 0.5 to 0.7: one rank nearer to the top


def test_ends_selects_half_and_half_and_one_more_at_the_top() -> None:
    assert chosen(SCORES, "ends", 0.3) == [0, 1, 9]
    assert chosen(SCORES, "ends", 0.4) == [0, 1, 5, 9]


def test_negative_and_equal_zero_scores_are_ordered() -> None:
    assert chosen([-3.0, -1.0, -2.0, 5.0], "top", 0.5) == [1, 3]
    assert chosen([-3.0, -1.0, -2.0, 5.0], "bottom", 0.5) == [0, 2]


@pytest.mark.parametrize("rule", SELECTIONS)
@pytest.mark.parametrize("rate", [0.01, 0.15, 0.4, 0.99])
@pytest.mark.parametrize("explore", [0.0, 0.3])
def test_exactly_k_in_rows_of_any_length(rule: str, rate: float, explore: float) -> None:
    length, rows = 40, 41
    # Row r has r maskable tokens, at random places.
    places = torch.rand(rows, length, generator=torch.Generator().manual_seed(1)).argsort(1)
    maskable = places < torch.arange(rows)[:, None]
    scores = torch.randn(rows, length, generator=torch.Generator().manual_seed(2))
    picked = select(
        scores, maskable, rate=rate, rule=rule, noise=noise_of(rows, length), explore=explore
    )
    assert not (picked & ~maskable).any()
    expected = [0] + [max(1, round(rate * n)) for n in range(1, rows)]
    assert picked.sum(1).tolist() == expected
    assert budget(maskable, rate).tolist() == expected


@pytest.mark.parametrize("rule", SELECTIONS)
def test_scores_that_are_not_finite_rank_at_the_end_and_leave_the_count(rule: str) -> None:
    scores = torch.full((50, 20), torch.nan)
    scores[:, :10] = torch.arange(10.0)
    scores[:, 0] = torch.inf
    scores[:, 19] = -torch.inf
    maskable = torch.ones_like(scores, dtype=torch.bool)
    picked = select(scores, maskable, rate=0.25, rule=rule, noise=noise_of(50, 20))
    assert picked.sum(1).tolist() == [5] * 50
    if rule == "top":
        assert picked[:, [0, 6, 7, 8, 9]].all()
    if rule == "bottom":
        assert not picked[:, :10].any()
    if rule == "sample":
        assert not picked[:, 10:].any()


def test_ties_are_broken_by_noise() -> None:
    rows = 4000
    scores = torch.tensor([[2.0, 1.0, 1.0, 1.0, 1.0, 0.0]]).repeat(rows, 1)
    maskable = torch.ones_like(scores, dtype=torch.bool)
    picked = select(scores, maskable, rate=0.5, rule="top", noise=noise_of(rows, 6))
    shares = picked.double().mean(0)
    assert shares[0] == 1
    assert shares[5] == 0
    assert (shares[1:5] - 0.5).abs().max() < 5 * 0.5 / rows**0.5


def inclusion(weights: Tensor, k: int) -> Tensor:
    """Exact probabilities of drawing each item in k draws without replacement."""
    total = torch.zeros_like(weights)
    for order in permutations(range(len(weights)), k):
        left, probability = weights.sum(), torch.ones((), dtype=torch.float64)
        for item in order:
            probability = probability * weights[item] / left
            left = left - weights[item]
        total[list(order)] += probability
    return total


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_sampling_follows_weights_exp_of_score_over_temperature(temperature: float) -> None:
    rows, scores = 40_000, torch.tensor([0.0, 0.5, 1.0, 2.0, 3.0])
    expected = inclusion((scores.double() / temperature).exp(), 2)
    assert expected.sum() == pytest.approx(2)
    maskable = torch.ones(rows, 5, dtype=torch.bool)
    picked = select(
        scores.expand(rows, 5),
        maskable,
        rate=0.4,
        rule="sample",
        noise=noise_of(rows, 5),
        temperature=temperature,
    )
    assert (picked.double().mean(0) - expected).abs().max() < 5 * 0.5 / rows**0.5


@pytest.mark.parametrize("rule", SELECTIONS)
def test_without_scores_every_rule_is_uniform(rule: str) -> None:
    rows = 20_000
    maskable = torch.ones(rows, 10, dtype=torch.bool)
    picked = select(None, maskable, rate=0.3, rule=rule, noise=noise_of(rows, 10))
    assert (picked.double().mean(0) - 0.3).abs().max() < 5 * 0.46 / rows**0.5


@pytest.mark.parametrize("explore", [0.05, 0.5])
def test_explore_draws_its_share_uniformly_from_the_rest(explore: float) -> None:
    rows, length, k = 20_000, 20, 4
    scores = torch.arange(float(length)).expand(rows, length)
    maskable = torch.ones(rows, length, dtype=torch.bool)
    picked = select(
        scores, maskable, rate=0.2, rule="top", noise=noise_of(rows, length), explore=explore
    )
    assert (picked.sum(1) == k).all()
    # 4 - e of the top 4 by rule, and e of what is left: of these, 16 / (16 + e) are the lower 16.
    whole = int(explore * k)
    broken = explore * k - whole
    below = sum(
        share * e * 16 / (16 + e) for e, share in ((whole, 1 - broken), (whole + 1, broken))
    )
    shares = picked.double().mean(0)
    assert float(shares[:16].sum()) == pytest.approx(below, abs=5 * 1.0 / rows**0.5)
    assert (shares[:16] - below / 16).abs().max() < 5 * (below / 16 / rows) ** 0.5


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Units 012 34 5 6789 with the means 0.5, 0.2, 0.9, 0.4; ranked: 5 012 6789 34.
        ("top", [0, 1, 5]),
        ("bottom", [3, 4, 9]),
        ("middle", [2, 6, 7]),
        ("ends", [0, 4, 5]),
    ],
)
def test_units_are_ranked_by_their_mean_and_cut_at_the_budget(
    rule: str, expected: list[int]
) -> None:
    scores = torch.tensor([[0.1, 0.9, 0.5, 0.2, 0.2, 0.9, 1.0, 0.0, 0.0, 0.6]])
    starts = torch.tensor([[True, False, False, True, False, True, True, False, False, False]])
    maskable = torch.ones_like(starts)
    picked = select(scores, maskable, rate=0.3, rule=rule, noise=noise_of(1, 10), starts=starts)
    assert picked[0].nonzero().squeeze(1).tolist() == expected


@pytest.mark.parametrize("rule", SELECTIONS)
@pytest.mark.parametrize("rate", [0.01, 0.15, 0.4, 0.99])
@pytest.mark.parametrize("explore", [0.0, 0.3])
def test_exactly_k_with_units_of_any_length(rule: str, rate: float, explore: float) -> None:
    length, rows = 40, 41
    maskable = torch.arange(length) < torch.arange(rows)[:, None]
    starts = torch.rand(rows, length, generator=torch.Generator().manual_seed(1)) < 0.3
    starts |= ~maskable
    starts[:, 0] = True
    scores = torch.randn(rows, length, generator=torch.Generator().manual_seed(2))
    scores[:, ::7] = torch.nan
    noise = noise_of(rows, length)
    options = {"rate": rate, "rule": rule, "noise": noise, "explore": explore, "starts": starts}
    for given in (scores, None):
        picked = select(given, maskable, **options)
        assert not (picked & ~maskable).any()
        assert torch.equal(picked.sum(1), budget(maskable, rate))


def test_units_are_sampled_by_their_mean_score_whatever_their_length() -> None:
    rows = 40_000
    scores = torch.tensor([0.0, 3.0, 3.0, 0.0, 6.0, 1.0, 1.0]).expand(rows, 7)
    starts = torch.tensor([True, True, False, False, False, True, False]).expand(rows, 7)
    # Of units with the means 0, 3 and 1, of 1, 4 and 2 positions, the first position drawn.
    picked = select(
        scores,
        torch.ones(rows, 7, dtype=torch.bool),
        rate=1 / 7,
        rule="sample",
        noise=noise_of(rows, 7),
        starts=starts,
    )
    weights = torch.tensor([0.0, 3.0, 1.0], dtype=torch.float64).exp()
    shares = picked.double().mean(0)
    assert (shares[[0, 1, 5]] - weights / weights.sum()).abs().max() < 5 * 0.5 / rows**0.5
    assert shares[[2, 3, 4, 6]].sum() == 0


@pytest.mark.parametrize("rule", HARD_SELECTIONS)
@pytest.mark.parametrize("levels", [1, 2, 5, 20, 10_000])
def test_ties_decide_what_another_draw_of_noise_would_change(rule: str, levels: int) -> None:
    generator = torch.Generator().manual_seed(levels)
    scores = torch.randint(levels, (6, 40), generator=generator).float()
    maskable = torch.rand(6, 40, generator=generator) < 0.8

    def draw() -> torch.Tensor:
        noise = torch.rand(6, 40, generator=generator, dtype=torch.float64)
        return select(scores, maskable, rate=0.3, rule=rule, noise=lambda stream: noise)

    draws = torch.stack([draw() for _ in range(400)])
    changing = draws[0].sum() - draws.all(0).sum()
    found = decided_by_ties(scores, maskable, rate=0.3, rule=rule)
    assert found == (int(changing), int(draws[0].sum()))


def test_a_unit_that_the_budget_cuts_is_no_tie_and_units_of_one_score_are() -> None:
    starts = torch.tensor([[True, False, False, True, False, True, False, True]])
    maskable = torch.ones(1, 8, dtype=torch.bool)
    apart = torch.tensor([[4.0, 4, 4, 3, 3, 2, 2, 1]])
    given = {"rate": 0.5, "rule": "top", "starts": starts}
    assert decided_by_ties(apart, maskable, **given) == (0, 4)  # type: ignore[arg-type]
    # Of the two words behind the first one only one position is taken.
    alike = torch.tensor([[4.0, 4, 4, 2, 2, 2, 2, 1]])
    assert decided_by_ties(alike, maskable, **given) == (1, 4)  # type: ignore[arg-type]


def test_what_is_explored_is_no_tie() -> None:
    scores = torch.zeros(1, 20)
    maskable = torch.ones(1, 20, dtype=torch.bool)
    found = decided_by_ties(scores, maskable, rate=0.5, rule="top", explore=0.4)
    assert found == (6, 6)

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from entromask.analysis.examples import Split, TaskExamples
from entromask.analysis.resampling import resample_counts, resampled_scores
from entromask.analysis.statistics import (
    Difference,
    SeedScores,
    average,
    difference,
    estimate,
    holm,
    power,
    seeds_needed,
    seeds_needed_range,
)
from entromask.errors import InputError
from entromask.glue.tasks import TASKS

Array = NDArray[Any]

EXAMPLES = 400
EXPERIMENTS = 1000
RESAMPLES = 400


def known(scores: Array, resampled: Array | None = None, first: int = 0) -> SeedScores:
    """Scores [n], and resampled [n, B], of the seeds from `first` on."""
    by_seed = dict(enumerate(scores.tolist(), first))
    return SeedScores(by_seed, None if resampled is None else dict(enumerate(resampled, first)))


@cache
def weights(task: str, rows: int) -> Array:
    """The share of each example in each resample [N, B]."""
    return np.concatenate(list(resample_counts(task, rows, RESAMPLES))).T / rows


def answered(answers: Array) -> SeedScores:
    """Accuracies, of right answers [n, N]."""
    return known(answers.mean(1), answers @ weights("simulated", answers.shape[1]))


def test_without_examples_the_estimate_is_students_interval() -> None:
    scores = np.array([0.61, 0.64, 0.70, 0.66])
    found = estimate(known(scores))
    assert found is not None
    low, high = stats.t.interval(0.95, 3, scores.mean(), stats.sem(scores))
    assert (found.n, found.mean, found.median) == (4, pytest.approx(0.6525), pytest.approx(0.65))
    assert found.sd == pytest.approx(scores.std(ddof=1))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_without_examples_the_paired_difference_is_the_paired_t_test() -> None:
    one, other = np.array([0.61, 0.64, 0.70]), np.array([0.60, 0.60, 0.65])
    found = difference(known(one), known(other))
    assert found is not None
    expected = stats.ttest_rel(one, other)
    low, high = expected.confidence_interval()
    assert found.paired
    assert found.n == 3
    assert found.mean == pytest.approx(np.mean(one - other))
    assert found.sd == pytest.approx(np.std(one - other, ddof=1))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.degrees_of_freedom == 2
    assert found.example_variance is None


def test_without_examples_the_unpaired_difference_is_welchs_t_test() -> None:
    one, other = np.array([0.61, 0.64, 0.70]), np.array([0.60, 0.60, 0.65, 0.59])
    found = difference(
        SeedScores(dict(zip((0, 1, 2), one.tolist(), strict=True))),
        SeedScores(dict(zip((2, 3, 4, 5), other.tolist(), strict=True))),
    )
    assert found is not None
    expected = stats.ttest_ind(one, other, equal_var=False)
    assert not found.paired
    assert (found.n, found.sd) == (3, None)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.degrees_of_freedom == pytest.approx(expected.df)
    assert found.low == pytest.approx(expected.confidence_interval().low)


def test_only_shared_seeds_count_when_there_are_two() -> None:
    method = SeedScores({0: 0.5, 1: 0.6, 7: 0.0})
    found = difference(method, SeedScores({1: 0.5, 0: 0.3, 9: 1.0}))
    assert found is not None
    assert (found.paired, found.n, found.mean) == (True, 2, pytest.approx(0.15))


def test_improvement_is_the_share_of_pairs_of_runs_and_a_tie_counts_half() -> None:
    method, baseline = known(np.array([1.0, 2.0, 3.0, 4.0])), known(np.array([0.0, 2.0, 4.0, 0.0]))
    paired = difference(method, baseline)
    assert paired is not None
    assert paired.probability_of_improvement == (1 + 0.5 + 0 + 1) / 4
    turned = difference(method, baseline, higher_is_better=False)
    assert turned is not None
    assert turned.probability_of_improvement == 1 - paired.probability_of_improvement
    assert turned.mean == paired.mean
    apart = difference(method, SeedScores({8: 2.0, 9: 9.0}))
    assert apart is not None
    assert apart.probability_of_improvement == (0.5 + 1 + 1) / 8


def test_one_seed_has_no_interval_and_no_p() -> None:
    one = answered(np.array([[True, False, True, True]]))
    found = estimate(one)
    assert found is not None
    assert (found.n, found.mean, found.median) == (1, 0.75, 0.75)
    assert (found.sd, found.low, found.high) == (None, None, None)
    by = difference(one, known(np.array([0.5, 0.25])))
    assert by is not None
    assert (by.n, by.paired, by.mean) == (1, False, pytest.approx(0.375))
    assert (by.p, by.low, by.high, by.seed_variance) == (None, None, None, None)
    assert by.probability_of_improvement == 1
    assert seeds_needed(by, 0.1) is None
    with pytest.raises(InputError, match="from a difference of 1"):
        power(by, 0.1, 3)


def test_one_run_against_one_of_the_same_seed_is_a_pair() -> None:
    found = difference(SeedScores({4: 0.6}), SeedScores({4: 0.5}))
    assert found is not None
    assert (found.paired, found.n, found.mean) == (True, 1, pytest.approx(0.1))
    assert (found.sd, found.low, found.p) == (None, None, None)
    apart = difference(SeedScores({4: 0.6}), SeedScores({5: 0.5}))
    assert apart is not None
    assert not apart.paired


def test_nothing_is_said_without_a_score() -> None:
    assert estimate(SeedScores({})) is None
    assert difference(SeedScores({}), known(np.array([0.5]))) is None
    assert average([]).scores == {}


def test_equal_runs_differ_by_nothing() -> None:
    # 0.1 + 0.2 is not 0.3 in binary.
    found = difference(known(np.array([0.1 + 0.2] * 3)), known(np.array([0.3] * 3)))
    assert found is not None
    assert (found.p, found.low, found.high, found.mean) == (1.0, 0.0, 0.0, 0.0)
    assert found.probability_of_improvement == 0.5


def test_the_same_difference_with_every_seed_is_certain() -> None:
    found = difference(known(np.array([0.5, 0.75, 1.0])), known(np.array([0.25, 0.5, 0.75])))
    assert found is not None
    assert (found.p, found.low, found.high) == (0.0, 0.25, 0.25)
    nearly = difference(known(np.array([0.5, 0.75])), known(np.array([0.25, 0.5 + 1e-9])))
    assert nearly is not None
    assert nearly.p is not None
    assert 0 < nearly.p < 1e-7


def test_p_is_the_level_at_which_the_interval_ends_at_zero() -> None:
    noise = np.random.default_rng(0)
    right = noise.random((2, 3, 200)) < np.array([0.66, 0.6])[:, None, None]
    method, baseline = answered(right[0]), answered(right[1])
    found = difference(method, baseline)
    assert found is not None
    assert found.p is not None
    assert found.example_variance is not None
    assert found.example_variance > 0
    at = difference(method, baseline, level=1 - found.p)
    assert at is not None
    assert at.low == pytest.approx(0, abs=1e-9)


def test_an_average_takes_the_seeds_that_all_tasks_have() -> None:
    one = SeedScores({0: 0.5, 1: 0.7}, {0: np.array([0.4, 0.6]), 1: np.array([0.6, 0.8])})
    other = SeedScores({1: 0.3, 2: 0.1}, {1: np.array([0.2, 0.2]), 2: np.array([0.0, 0.0])})
    found = average([one, other])
    assert found.scores == {1: pytest.approx(0.5)}
    assert found.resampled is not None
    np.testing.assert_allclose(found.resampled[1], [0.4, 0.5])
    assert average([one, SeedScores({0: 0.1, 1: 0.1})]).resampled is None
    assert average([one, SeedScores({5: 0.1})]).scores == {}


# Myocardial infarction, 15 hypotheses: Benjamini and Hochberg (1995), section 4.
INFARCTION = [
    *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344),
    *(0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0),
]


def test_holm_on_worked_examples() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    corrected = holm(INFARCTION)
    # By hand: 15 p1, 14 p2, 13 p3, 12 p4, 11 p5, 10 p6; then the maximum so far, at most 1.
    expected = [0.0015, 0.0056, 0.0247, 0.114, 0.2211, 0.278, 0.278, 0.278, 0.3213, 1.0]
    assert corrected[:10] == pytest.approx(expected)
    assert corrected[10:] == [1.0] * 5
    assert sum(p is not None and p <= 0.05 for p in corrected) == 3


def test_holm_counts_only_known_p_values_and_keeps_their_order() -> None:
    assert holm([None, 0.02, None, 0.01]) == [None, 0.02, None, 0.02]
    assert holm([]) == []
    assert holm([0.7, 0.7]) == [1.0, 1.0]


def test_more_seeds_or_a_larger_difference_have_more_power() -> None:
    found = Difference(3, True, 0.02, 0.02, None, None, None, 0.5, 0.02**2 / 3, 0.005**2, 2.0)
    by_seeds = [power(found, 0.02, seeds) for seeds in (2, 3, 5, 10, 30)]
    assert by_seeds == sorted(by_seeds)
    assert power(found, 0.0, 5) == pytest.approx(0.05, abs=0.01)
    assert power(found, 0.05, 5) > power(found, 0.02, 5) == power(found, -0.02, 5)
    needed = seeds_needed(found, 0.02)
    assert needed is not None
    assert power(found, 0.02, needed) >= 0.8 > power(found, 0.02, needed - 1)
    # 0.01 is two standard errors of these examples: no number of seeds shows it with 80 %.
    assert seeds_needed(found, 0.01) is None
    assert seeds_needed(found, 0.01, power=0.4) is not None
    with pytest.raises(InputError, match="no power of 1 seeds"):
        power(found, 0.02, 1)
    # Three runs that came out alike to the last digit do not show that two are enough.
    alike = replace(found, seed_variance=0.0, example_variance=0.0)
    assert seeds_needed(alike, 0.01) is None


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
def test_seeds_needed_are_a_range_over_the_variance_that_the_seeds_allow(seeds: int) -> None:
    sd, wanted = 0.02, 0.03
    found = Difference(
        seeds, True, 0.0, sd, None, None, None, 0.5, sd**2 / seeds, None, seeds - 1.0
    )
    ends = seeds_needed_range(found, wanted)
    assert ends is not None
    freedom = seeds - 1
    for end, quantile in zip(ends, (0.95, 0.05), strict=True):
        true = sd * math.sqrt(freedom / stats.chi2.ppf(quantile, freedom))
        powers = {}
        for n in range(2, 1001):
            shift, bound = wanted / (true / math.sqrt(n)), stats.t.isf(0.025, n - 1)
            powers[n] = stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift)
        enough = [n for n, reached in powers.items() if reached >= 0.8]
        expected = enough[0] if enough else None
        if end is None or expected is None:
            assert end == expected
        else:
            assert abs(end - expected) <= 1
    point = seeds_needed(found, wanted)
    assert point is not None
    assert ends[0] is not None
    assert ends[0] <= point <= (ends[1] or 1000)


def test_a_range_of_seeds_is_not_known_from_one_seed_or_from_runs_that_came_out_alike() -> None:
    alike = Difference(3, True, 0.0, 0.0, None, None, None, 0.5, 0.0, 0.0, 2.0)
    assert seeds_needed_range(alike, 0.01) is None
    single = replace(alike, n=1, seed_variance=None, degrees_of_freedom=None)
    assert seeds_needed_range(single, 0.01) is None
    few_examples = replace(alike, seed_variance=0.01**2, example_variance=0.02**2)
    assert seeds_needed_range(few_examples, 0.01) == (None, None)


def test_true_variances_lie_in_the_range_nine_times_of_ten() -> None:
    noise = np.random.default_rng(3)
    inside = 0
    for _ in range(400):
        sample = noise.normal(0.0, 0.02, 4)
        variance = float(sample.var(ddof=1)) / 4
        found = Difference(4, True, 0.0, 0.02, None, None, None, 0.5, variance, None, 3.0)
        ends = seeds_needed_range(found, 0.03)
        assert ends is not None
        truth = seeds_needed(replace(found, seed_variance=0.02**2 / 4), 0.03)
        assert truth is not None
        inside += (ends[0] or 1001) <= truth <= (ends[1] or 1001)
    # Counts are whole: an end that is the truth itself counts as inside.
    assert 0.87 <= inside / 400 <= 0.98


def test_power_without_examples_is_that_of_the_t_test() -> None:
    found = Difference(3, True, 0.0, 0.02, None, None, None, 0.5, 0.02**2 / 3, None, 2.0)
    shift = 0.03 / (0.02 / math.sqrt(6))
    bound = stats.t.isf(0.025, 5)
    expected = stats.nct.sf(bound, 5, shift) + stats.nct.cdf(-bound, 5, shift)
    assert power(found, 0.03, 6) == pytest.approx(expected, abs=2e-3)
    certain = replace(found, seed_variance=0.0)
    assert (power(certain, 0.03, 2), power(certain, 0.0, 2)) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("seeds", "level", "lowest", "highest"),
    [
        (2, 0.95, 0.940, 0.975),
        (3, 0.95, 0.948, 0.965),
        (5, 0.95, 0.949, 0.958),
        (10, 0.95, 0.949, 0.954),
        (3, 0.99, 0.987, 0.996),
    ],
)
def test_the_interval_covers_at_any_share_of_the_seeds(
    seeds: int, level: float, lowest: float, highest: float
) -> None:
    """By quadrature over the estimate of the seeds' variance, the mean being normal."""
    from entromask.analysis.statistics import _critical

    freedom = seeds - 1
    chi = stats.chi2.ppf((np.arange(5000) + 0.5) / 5000, freedom) / freedom
    for ratio in (0.01, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000):
        total = ratio * chi + 1
        half = _critical(level, ratio * chi / total, freedom) * np.sqrt(total / (ratio + 1))
        assert lowest < np.mean(stats.norm.cdf(half) - stats.norm.cdf(-half)) < highest, ratio


def joint_bootstrap(answers: Array, noise: np.random.Generator, resamples: int) -> Array:
    """The Multi-Bootstrap of the paper: answers [n, N], seeds and examples drawn together."""
    seeds, rows = answers.shape
    of_seeds = noise.multinomial(seeds, np.full(seeds, 1 / seeds), resamples)
    of_rows = noise.multinomial(rows, np.full(rows, 1 / rows), resamples)
    found: Array = np.einsum("bs,sn,bn->b", of_seeds, answers, of_rows, optimize=True)
    return found / answers.size


def test_the_variance_is_that_of_the_joint_bootstrap_without_its_second_interaction() -> None:
    noise = np.random.default_rng(1)
    seeds = 8
    answers = (
        0.3 * noise.normal(size=(seeds, 1))
        + noise.normal(size=EXAMPLES)
        + noise.normal(size=(seeds, EXAMPLES))
    )
    side = answered(answers)
    found = difference(side, known(np.zeros(seeds), np.zeros((seeds, RESAMPLES))))
    assert found is not None
    assert found.seed_variance is not None
    assert found.example_variance is not None
    joint = joint_bootstrap(answers, noise, 40_000).var()
    interaction = (answers - answers.mean(0) - answers.mean(1)[:, None] + answers.mean()).var()
    interaction /= answers.size
    expected = (seeds - 1) / seeds * found.seed_variance + found.example_variance + 2 * interaction
    assert joint == pytest.approx(expected, rel=0.08)
    # By the components of the answers themselves.
    examples = answers.mean(0).var(ddof=1) / EXAMPLES - interaction * seeds / (seeds - 1)
    assert found.example_variance == pytest.approx(examples, rel=0.15)


@dataclass(frozen=True)
class Population:
    """Runs of two methods on a test set of 400 examples, over many experiments.

    The latent value of a run on an example is `level + seed + example + noise`, all normal, the
    noise of variance 1. `seed` is the effect of a pretraining seed on both methods, `own` that on
    one of them; `example` is the effect of an example on both methods, `own_example` that on the
    runs of one. Unpaired, the baseline has other seeds.
    """

    seeds: int
    seeds_of_baseline: int | None = None
    levels: tuple[float, float] = (0.6, 0.5)
    seed: float = 0.1
    own: float = 0.1
    example: float = 1.0
    own_example: float = 0.3

    @property
    def truth(self) -> float:
        """The difference in accuracy over all seeds and all examples."""
        parts = (1, self.seed, self.own, self.example, self.own_example)
        method, baseline = (stats.norm.cdf(x / math.hypot(*parts)) for x in self.levels)
        return float(method - baseline)

    def latent(self, noise: np.random.Generator) -> tuple[Array, Array]:
        """Of the method and of the baseline [experiments, seeds, examples]."""
        example = self.example * noise.normal(size=(EXPERIMENTS, 1, EXAMPLES))
        common = noise.normal(size=(EXPERIMENTS, self.seeds, 1))

        def side(level: float, seeds: int, common: Array) -> Array:
            runs = level + self.seed * common + self.own * noise.normal(size=common.shape)
            own = self.own_example * noise.normal(size=example.shape)
            each = noise.normal(size=(EXPERIMENTS, seeds, EXAMPLES))
            return np.asarray(runs + example + own + each)

        method = side(self.levels[0], self.seeds, common)
        if self.seeds_of_baseline is not None:
            common = noise.normal(size=(EXPERIMENTS, self.seeds_of_baseline, 1))
        return method, side(self.levels[1], common.shape[1], common)

    def experiments(
        self, noise: np.random.Generator, task: str = "simulated"
    ) -> list[tuple[SeedScores, SeedScores]]:
        method, baseline = ((side > 0).astype(float) for side in self.latent(noise))
        sides = [(side.mean(-1), side @ weights(task, EXAMPLES)) for side in (method, baseline)]
        return pairs(sides, apart=self.seeds_of_baseline is not None)


Side = tuple[Array, Array]


def pairs(sides: Sequence[Side], apart: bool = False) -> list[tuple[SeedScores, SeedScores]]:
    """By experiment, from scores [experiments, n] and resampled [experiments, n, B]."""
    method, baseline = sides
    first = 100 if apart else 0
    return [
        (known(*one), known(*other, first=first))
        for one, other in zip(zip(*method, strict=True), zip(*baseline, strict=True), strict=True)
    ]


def differences(experiments: Sequence[tuple[SeedScores, SeedScores]]) -> list[Difference]:
    found = [by for one, other in experiments if (by := difference(one, other)) is not None]
    assert len(found) == EXPERIMENTS
    return found


def covered(found: Sequence[Difference], truth: float) -> float:
    inside = [
        by.low <= truth <= by.high for by in found if by.low is not None and by.high is not None
    ]
    assert len(inside) == EXPERIMENTS
    return sum(inside) / EXPERIMENTS


def significant(found: Sequence[Difference]) -> float:
    return sum(by.p < 0.05 for by in found if by.p is not None) / EXPERIMENTS


def typical(found: Sequence[Difference]) -> Difference:
    """A difference that found the true parts of the variance."""
    means = {
        name: float(np.mean([getattr(by, name) for by in found]))
        for name in ("seed_variance", "example_variance")
    }
    return replace(found[0], degrees_of_freedom=float(found[0].n - 1), **means)


POPULATIONS = {
    "three seeds": Population(3),
    "three seeds that hardly matter": Population(3, seed=0.0, own=0.0),
    "three seeds that matter most": Population(3, seed=0.3, own=0.3),
    "three seeds, examples matter most": Population(3, seed=0.0, own=0.02, own_example=1.5),
    "five seeds": Population(5),
    "ten seeds": Population(10, own=0.03),
    "three seeds against three others": Population(3, 3, seed=0.05),
    "three seeds against five others": Population(3, 5, own=0.3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", POPULATIONS)
def test_intervals_cover_the_truth_and_p_finds_no_more_than_it_should(name: str) -> None:
    population = POPULATIONS[name]
    noise = np.random.default_rng(0)
    found = differences(population.experiments(noise))
    assert found[0].paired == (population.seeds_of_baseline is None)
    assert 0.93 <= covered(found, population.truth) <= 0.97
    parts = typical(found)
    assert parts.seed_variance is not None
    assert parts.example_variance is not None
    spread = np.var([by.mean for by in found], ddof=1)
    assert parts.seed_variance + parts.example_variance == pytest.approx(spread, rel=0.16)
    nothing = replace(population, levels=(0.5, 0.5))
    assert 0.03 <= significant(differences(nothing.experiments(noise))) <= 0.07


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "level"),
    [("three seeds that hardly matter", 0.8), ("five seeds", 0.8), ("ten seeds", 0.57)],
)
def test_power_is_as_promised(name: str, level: float) -> None:
    population = replace(POPULATIONS[name], levels=(level, 0.5))
    found = differences(population.experiments(np.random.default_rng(1)))
    promised = power(typical(found), population.truth, population.seeds)
    assert 0.3 < promised < 0.97
    assert significant(found) == pytest.approx(promised, abs=0.04)


@pytest.mark.slow
def test_as_many_seeds_as_needed_have_the_power() -> None:
    population = Population(3, levels=(0.7, 0.5))
    noise = np.random.default_rng(2)
    found = typical(differences(population.experiments(noise)))
    needed = seeds_needed(found, population.truth)
    assert needed is not None
    assert 4 < needed < 30
    more = differences(replace(population, seeds=needed).experiments(noise))
    assert 0.77 <= significant(more) <= 0.88


@pytest.mark.slow
def test_a_single_methods_interval_covers_its_true_mean() -> None:
    population = Population(3)
    truth = stats.norm.cdf(0.6 / math.hypot(1, 0.1, 0.1, 1.0, 0.3))
    found = [estimate(one) for one, _ in population.experiments(np.random.default_rng(3))]
    inside = [
        by.low <= truth <= by.high
        for by in found
        if by is not None and by.low is not None and by.high is not None
    ]
    assert len(inside) == EXPERIMENTS
    assert 0.93 <= sum(inside) / EXPERIMENTS <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_an_average_over_tasks_covers_its_truth(shift: float) -> None:
    """Seeds act on each task by themselves; the tasks have their own examples."""
    tasks = [
        Population(3, levels=(level + shift, level), seed=seed, own=0.05)
        for level, seed in ((0.3, 0.1), (0.6, 0.02), (1.0, 0.2))
    ]
    noise = np.random.default_rng(4)
    by_task = [task.experiments(noise, f"simulated-{i}") for i, task in enumerate(tasks)]
    found = differences(
        [
            (average([one for one, _ in measures]), average([other for _, other in measures]))
            for measures in zip(*by_task, strict=True)
        ]
    )
    assert 0.93 <= covered(found, float(np.mean([task.truth for task in tasks]))) <= 0.97
    if shift == 0:
        assert 0.03 <= significant(found) <= 0.07


@pytest.mark.slow
def test_differences_in_pearsons_correlation_cover_the_truth() -> None:
    noise = np.random.default_rng(5)
    shape = (EXPERIMENTS, 3, EXAMPLES)
    labels = noise.normal(size=(EXPERIMENTS, 1, EXAMPLES))
    difficulty = noise.normal(size=labels.shape)
    w = weights("stsb/validation", EXAMPLES)

    def mean_of(values: Array, by: Array) -> Array:
        return np.asarray(values @ by)

    def correlation(x: Array, by: Array) -> Array:
        mean_x, mean_y = mean_of(x, by), mean_of(labels, by)
        cov = mean_of(x * labels, by) - mean_x * mean_y
        square = (mean_of(x**2, by) - mean_x**2) * (mean_of(labels**2, by) - mean_y**2)
        return np.asarray(cov / np.sqrt(square))

    def runs(mean: float) -> Array:
        # The correlation of a seed is this one over all examples.
        of_seed = mean + 0.03 * noise.normal(size=(EXPERIMENTS, 3, 1))
        error = (difficulty + noise.normal(size=shape)) / math.sqrt(2)
        return np.asarray(of_seed * labels + np.sqrt(1 - of_seed**2) * error)

    once = np.full((EXAMPLES, 1), 1 / EXAMPLES)
    methods = [runs(0.75), runs(0.7)]
    sides = [(correlation(x, once)[..., 0], correlation(x, w)) for x in methods]
    pearson = replace(TASKS["stsb"], metrics=("pearson",))
    first = TaskExamples(pearson, {"validation": Split(methods[0][0][:1], labels[0, 0])})
    np.testing.assert_allclose(resampled_scores(first, RESAMPLES), sides[0][1][0, 0])
    found = differences(pairs(sides))
    assert 0.93 <= covered(found, 0.05) <= 0.97
    same = runs(0.7), runs(0.7)
    nothing = pairs([(correlation(x, once)[..., 0], correlation(x, w)) for x in same])
    assert 0.03 <= significant(differences(nothing)) <= 0.07


@pytest.mark.slow
def test_differences_in_f1_cover_the_truth() -> None:
    noise = np.random.default_rng(6)
    labels = noise.random((EXPERIMENTS, 1, EXAMPLES)) < 0.68
    example = noise.normal(size=labels.shape)
    w = weights("mrpc/validation", EXAMPLES)
    # How far the two classes lie apart for the model, and how this varies with the seed.
    spread = 0.15

    def runs(apart: float) -> Array:
        of_seed = apart + spread * noise.normal(size=(EXPERIMENTS, 3, 1))
        latent = of_seed * (labels - 0.5) + 0.3 + example
        return np.asarray(latent + noise.normal(size=(EXPERIMENTS, 3, EXAMPLES)) > 0)

    def truth(apart: float) -> float:
        of_seed = apart + spread * stats.norm.ppf((np.arange(2000) + 0.5) / 2000)
        hit = 0.68 * stats.norm.cdf((0.3 + of_seed / 2) / math.sqrt(2))
        false = 0.32 * stats.norm.cdf((0.3 - of_seed / 2) / math.sqrt(2))
        return float(np.mean(2 * hit / (hit + false + 0.68)))

    def f1(positive: Array, by: Array) -> Array:
        hits = (positive & labels) @ by
        return np.asarray(2 * hits / (positive @ by + labels @ by))

    once = np.full((EXAMPLES, 1), 1 / EXAMPLES)
    methods = [runs(1.4), runs(1.0)]
    sides = [(f1(x, once)[..., 0], f1(x, w)) for x in methods]
    mrpc = replace(TASKS["mrpc"], metrics=("f1",))
    answers = Split(methods[0][0][:1].astype(int), labels[0, 0].astype(int))
    first = TaskExamples(mrpc, {"validation": answers})
    np.testing.assert_allclose(resampled_scores(first, RESAMPLES), sides[0][1][0, 0])
    found = differences(pairs(sides))
    assert 0.93 <= covered(found, truth(1.4) - truth(1.0)) <= 0.97
    same = runs(1.0), runs(1.0)
    nothing = pairs([(f1(x, once)[..., 0], f1(x, w)) for x in same])
    assert 0.03 <= significant(differences(nothing)) <= 0.07

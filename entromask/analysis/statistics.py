"""The statistics of experiments: methods over pretraining seeds and test examples.

Both vary: another seed gives another model, and another test set other scores. As in the
Multi-Bootstrap (Sellam et al., arXiv:2106.16163), two methods meet the same test examples, and are
paired by pretraining seed where they share seeds. Its percentiles are far too narrow for three
seeds, so the variance is added up from its parts instead, in the crossed random-effects model of
Owen (The pigeonhole bootstrap, Annals of Applied Statistics 2007). With d_s the score (or
difference) of seed s, n seeds, and * for resamples of the test examples:

    seed_variance     S = Var_s(d_s) / n, of seeds and of their interaction with the examples
    interaction       I = (mean_s Var*(d*_s) - Var*(mean_s d*_s)) / (n - 1)
    example_variance  E = max(0, Var*(mean_s d*_s) - I), which no number of seeds makes smaller

The mean varies by S + E; the interaction is in both bootstraps, and is counted once. S is known
from few seeds, E from many examples. The critical value c lies between Student's t of n - 1
degrees of freedom and the normal's z:

    c^2 = z^2 + (t^2 - z^2) (S / (S + E))^(3/2)

in the manner of Cochran and Cox (Experimental Designs, 1950), who weigh c itself by the share. At
three seeds the 95 % interval then covers 94.8 to 96.4 % whatever the true share is; it would be
95.0 to 97.1 % by their rule, and as little as 92.2 % by Satterthwaite's degrees of freedom.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, ndtri, stdtrit

from entromask.errors import InputError

Scores = NDArray[np.float64]

# Scores differ in their last digits by the order in which they were added up.
_ROUNDING = 1e-12
MOST_SEEDS = 1000
# Beyond it Student's t has no quantile in float64; its p is 5.5e-89.
_HIGHEST_Z = 20.0
_NODES = 400
# Above the 95 % and the 5 % quantile of an estimated variance.
_TAILS = (0.05, 0.95)


@dataclass(frozen=True)
class SeedScores:
    """One method on one measure.

    `scores`: by pretraining seed. `resampled`: by pretraining seed the same score on B resamples
    of the test examples [B], the same resamples for every method; None where the examples are not
    known, as of a loss.
    """

    scores: Mapping[int, float]
    resampled: Mapping[int, Scores] | None = None


@dataclass(frozen=True)
class Estimate:
    """A method's mean over `n` pretraining seeds, and its interval.

    `sd` is that of the seeds (n - 1); it and the interval are None for one seed.
    """

    n: int
    mean: float
    sd: float | None
    median: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """Method minus baseline.

    `n` is the number of pairs; unpaired, that of the smaller side. `sd` is that of the differences
    by seed, None where they are not paired, and of one pair. `probability_of_improvement` is the
    share of pairs of runs in which the method is better, a tie counting half (Agarwal et al.,
    arXiv:2108.13264): of the runs with the same seed, or, unpaired, of all pairs. `p` is two-sided.

    `seed_variance` and `example_variance` are the parts of the mean's variance;
    `degrees_of_freedom` are those of the former. Without examples `example_variance` is None and
    counts nothing. For one seed there is no interval, `p` or `seed_variance`.
    """

    n: int
    paired: bool
    mean: float
    sd: float | None
    low: float | None
    high: float | None
    p: float | None
    probability_of_improvement: float
    seed_variance: float | None
    example_variance: float | None
    degrees_of_freedom: float | None


def estimate(scores: SeedScores, level: float = 0.95) -> Estimate | None:
    """The mean over pretraining seeds with its interval; None without a score."""
    seeds = sorted(scores.scores)
    if not seeds:
        return None
    side = _side(scores, seeds)
    spread = _spread([side])
    low, high = _interval(spread, level)
    sd = None if len(seeds) < 2 else float(side.scores.std(ddof=1))
    return Estimate(len(seeds), spread.mean, sd, float(np.median(side.scores)), low, high)


def difference(
    method: SeedScores, baseline: SeedScores, higher_is_better: bool = True, level: float = 0.95
) -> Difference | None:
    """How a method differs from a baseline; None where one of them has no score.

    Paired by seed where they share at least two seeds, or have one and the same, and then over
    those alone.
    """
    if not method.scores or not baseline.scores:
        return None
    shared = sorted(method.scores.keys() & baseline.scores.keys())
    paired = len(shared) > 1 or shared == sorted(method.scores) == sorted(baseline.scores)
    one = _side(method, shared if paired else sorted(method.scores))
    other = _side(baseline, shared if paired else sorted(baseline.scores))
    by = one.scores - other.scores if paired else np.subtract.outer(one.scores, other.scores)
    spread = _spread([one.minus(other)] if paired else [one, other.negative()])
    low, high = _interval(spread, level)
    return Difference(
        n=min(len(one.scores), len(other.scores)),
        paired=paired,
        mean=spread.mean,
        sd=float(by.std(ddof=1)) if paired and len(by) > 1 else None,
        low=low,
        high=high,
        p=_p_value(spread),
        probability_of_improvement=_share_better(by if higher_is_better else -by),
        seed_variance=spread.seeds,
        example_variance=spread.examples,
        degrees_of_freedom=spread.freedom,
    )


def average(measures: Sequence[SeedScores]) -> SeedScores:
    """The mean of several tasks by seed, over the seeds that all of them have.

    The resamples of different tasks are independent of each other, as their test sets are.
    """
    if not measures:
        return SeedScores({})
    seeds = sorted(set.intersection(*(set(measure.scores) for measure in measures)))
    scores = {seed: float(np.mean([m.scores[seed] for m in measures])) for seed in seeds}
    sides = [_side(measure, seeds).resampled for measure in measures]
    known = [side for side in sides if side is not None]
    if len(known) < len(measures):
        return SeedScores(scores)
    return SeedScores(scores, dict(zip(seeds, np.mean(known, axis=0), strict=True)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p values corrected for their number (Holm, Scandinavian Journal of Statistics 1979).

    A None stays None and does not count.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[place] = highest
    return corrected


def power(found: Difference, wanted: float, seeds: int, level: float = 0.95) -> float:
    """The probability that a true difference of the size `wanted` has p < 1 - level.

    Args:
        found: whose variances are taken for the true ones. From three seeds they are rough: the
            variance of the seeds may well be half or double.
        seeds: pretraining seeds; unpaired, of the smaller side, the other growing in proportion.

    Raises:
        InputError: fewer than two seeds, here or in `found`.
    """
    if found.seed_variance is None or found.degrees_of_freedom is None or seeds < 2:
        raise InputError(
            f"no power of {seeds} seeds from a difference of {found.n}",
            "the variance between seeds shows from two seeds on",
        )
    return _reach(found, wanted, seeds, level)


def seeds_needed(
    found: Difference, wanted: float, power: float = 0.8, level: float = 0.95
) -> int | None:
    """The fewest pretraining seeds that see a true difference `wanted` with the given power.

    None where 1000 are not enough, as when these test examples are too few to show it, and where
    `found` tells nothing of how scores vary: of one seed, or of runs that came out alike.
    """
    if found.seed_variance is None or not _varies(found):
        return None
    if _reach(found, wanted, MOST_SEEDS, level) < power:
        return None
    counts = range(2, MOST_SEEDS + 1)
    return counts[bisect_left(counts, power, key=lambda n: _reach(found, wanted, n, level))]


def seeds_needed_range(
    found: Difference, wanted: float, power: float = 0.8, level: float = 0.95
) -> tuple[int | None, int | None] | None:
    """The fewest seeds as of `seeds_needed`, for a small and for a large variance of the seeds.

    With f degrees of freedom the true variance is the estimated one times f / chi^2_f: it lies
    with 90 % between that at the 95 % and that at the 5 % quantile of chi^2_f. From three seeds
    (f = 2) these are 0.33 and 19.5 times the estimate.

    Returns:
        The two ends, each None where 1000 are not enough; or None where `found` tells nothing of
        how scores vary.
    """
    if found.seed_variance is None or found.degrees_of_freedom is None or not _varies(found):
        return None
    freedom = found.degrees_of_freedom
    # `chdtri` takes the probability above the quantile.
    factors = [freedom / float(chdtri(freedom, above)) for above in _TAILS]
    low, high = (
        seeds_needed(
            replace(found, seed_variance=found.seed_variance * factor), wanted, power, level
        )
        for factor in factors
    )
    return low, high


def _varies(found: Difference) -> bool:
    return (found.seed_variance or 0.0) + (found.example_variance or 0.0) > _ROUNDING**2


def _reach(found: Difference, wanted: float, seeds: int, level: float) -> float:
    assert found.seed_variance is not None
    assert found.degrees_of_freedom is not None
    per_seed = found.seed_variance * found.n
    freedom = found.degrees_of_freedom * (seeds - 1) / (found.n - 1)
    examples = found.example_variance or 0.0
    true = math.sqrt(per_seed / seeds + examples)
    if true == 0:
        return float(wanted != 0)
    # The estimate of the seeds' variance is a chi-square variable, here at its quantiles.
    levels = (np.arange(_NODES) + 0.5) / _NODES
    estimated = per_seed / seeds * chdtri(freedom, levels) / freedom
    total = estimated + examples
    bound = _critical(level, estimated / total, freedom) * np.sqrt(total)
    seen = ndtr((abs(wanted) - bound) / true) + ndtr((-abs(wanted) - bound) / true)
    return float(seen.mean())


@dataclass(frozen=True)
class _Side:
    """Scores [n] by seed, and resampled [n, B]."""

    scores: Scores
    resampled: Scores | None

    def negative(self) -> _Side:
        return _Side(-self.scores, None if self.resampled is None else -self.resampled)

    def minus(self, other: _Side) -> _Side:
        known = self.resampled is not None and other.resampled is not None
        resampled = self.resampled - other.resampled if known else None  # type: ignore[operator]
        return _Side(self.scores - other.scores, resampled)


@dataclass(frozen=True)
class _Spread:
    """A mean and the parts of its variance; `seeds` and `freedom` are None for one seed."""

    mean: float
    seeds: float | None
    freedom: float | None
    examples: float | None

    @property
    def variance(self) -> float:
        found = (self.seeds or 0.0) + (self.examples or 0.0)
        return found if found > _ROUNDING**2 else 0.0

    @property
    def share(self) -> float:
        """That of the seeds in the variance."""
        return (self.seeds or 0.0) / self.variance if self.variance else 0.0


def _side(scores: SeedScores, seeds: Sequence[int]) -> _Side:
    found = np.array([scores.scores[seed] for seed in seeds], np.float64)
    resampled = scores.resampled
    if resampled is None or not seeds or any(seed not in resampled for seed in seeds):
        return _Side(found, None)
    return _Side(found, np.stack([resampled[seed] for seed in seeds]))


def _spread(sides: Sequence[_Side]) -> _Spread:
    """Of the sum of the sides' means; the seeds of different sides are independent."""
    mean = float(sum(side.scores.mean() for side in sides))
    mean = mean if abs(mean) > _ROUNDING else 0.0
    counts = [len(side.scores) for side in sides]
    known = all(side.resampled is not None for side in sides)
    if min(counts) < 2:
        return _Spread(mean, None, None, _one_seed(sides) if known else None)
    parts = [float(side.scores.var(ddof=1)) / len(side.scores) for side in sides]
    total = sum(parts)
    # Satterthwaite's, of the two sides.
    freedom = float(sum(counts) - len(counts))
    if total > _ROUNDING**2:
        freedom = total**2 / sum(v**2 / (n - 1) for v, n in zip(parts, counts, strict=True))
    return _Spread(mean, total, freedom, _examples(sides) if known else None)


def _examples(sides: Sequence[_Side]) -> float:
    """The variance of the mean over the examples alone, without their interaction with seeds."""
    interaction = 0.0
    for side in sides:
        assert side.resampled is not None
        each, mean = side.resampled.var(1, ddof=1).mean(), side.resampled.mean(0).var(ddof=1)
        interaction += max(0.0, float(each - mean)) / (len(side.scores) - 1)
    return max(0.0, _one_seed(sides) - interaction)


def _one_seed(sides: Sequence[_Side]) -> float:
    """Var* of the mean: all that resampled examples change, the seeds being what they are."""
    means = [side.resampled.mean(0) for side in sides if side.resampled is not None]
    return float(np.sum(means, axis=0).var(ddof=1))


def _critical(level: float, share: Scores | float, freedom: float) -> Scores:
    return _between(float(ndtri(0.5 + level / 2)), share, freedom)


def _between(z: float, share: Scores | float, freedom: float) -> Scores:
    """The critical value where the normal's is z (see above)."""
    t = -stdtrit(freedom, ndtr(-z))
    return np.asarray(np.sqrt(z**2 + (t**2 - z**2) * np.asarray(share) ** 1.5))


def _interval(spread: _Spread, level: float) -> tuple[float | None, float | None]:
    if spread.freedom is None:
        return None, None
    half = float(_critical(level, spread.share, spread.freedom)) * math.sqrt(spread.variance)
    return spread.mean - half, spread.mean + half


def _p_value(spread: _Spread) -> float | None:
    """The level at which 0 is the end of the interval."""
    if spread.freedom is None:
        return None
    if spread.variance == 0:
        return float(spread.mean == 0)
    ratio = abs(spread.mean) / math.sqrt(spread.variance)
    share, freedom = spread.share, spread.freedom

    def beyond(z: float) -> float:
        return float(_between(z, share, freedom)) - ratio

    if beyond(_HIGHEST_Z) <= 0:
        return 2 * float(ndtr(-_HIGHEST_Z))
    return 2 * float(ndtr(-brentq(beyond, 0.0, _HIGHEST_Z, xtol=1e-12)))


def _share_better(by: Scores) -> float:
    return float(((by > _ROUNDING) + 0.5 * (np.abs(by) <= _ROUNDING)).mean())

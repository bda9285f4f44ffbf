"""Statistics over paired runs: means and differences with intervals, tests, and areas under noise curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, stats  # type: ignore[import-untyped]

CONFIDENCE = 0.95
RESAMPLES = 2_000


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values with its confidence interval; one value has none, and `low` and `high` are NaN."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half of the interval's width; NaN for one value."""
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Difference(Interval):
    """A mean paired difference; `p` is that of the paired t test, NaN for one pair."""

    p: float


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean with its 95 % interval by Student's t."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Interval(mean, np.nan, np.nan, len(values))
    error = float(stats.sem(values))
    if error == 0:
        return Interval(mean, mean, mean, len(values))
    low, high = stats.t.interval(CONFIDENCE, len(values) - 1, mean, error)
    return Interval(mean, float(low), float(high), len(values))


def paired_difference(values: Sequence[float], baseline: Sequence[float], *, relative: bool = False) -> Difference:
    """The mean of the differences `values - baseline` of equal seeds; with `relative`, in per cent of the baseline.

    Without any difference at any seed, `p` is 1.
    """
    differences = np.subtract(values, baseline)
    if relative:
        differences = 100 * differences / np.asarray(baseline)
    interval = mean_interval(differences.tolist())
    if interval.n < 2:
        p = np.nan
    elif interval.low == interval.high:
        p = 1.0 if interval.mean == 0 else 0.0
    else:
        p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return Difference(interval.mean, interval.low, interval.high, interval.n, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number by Holm's method; NaN stays NaN and does not count."""
    corrected = [float("nan")] * len(p_values)
    known = sorted((p, place) for place, p in enumerate(p_values) if not np.isnan(p))
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, p * (len(known) - rank)))
        corrected[place] = largest
    return corrected


@dataclass(frozen=True)
class McNemar:
    """How many samples only one of two networks got right, and the exact two-sided p-value of that split."""

    only_first: int
    only_second: int
    p: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """McNemar's exact test on which samples two networks got right."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    different = only_first + only_second
    p = float(stats.binomtest(only_first, different, 0.5).pvalue) if different else 1.0
    return McNemar(only_first, only_second, p)


def bootstrap_difference(values: NDArray[np.bool_], baseline: NDArray[np.bool_], *, seed: int = 0) -> Interval:
    """The mean difference in accuracy with its 95 % percentile interval over resampled test samples.

    Both are `[seeds, samples]`, true where right. Samples are drawn anew with all their seeds, so the interval says how
    far the difference depends on the choice of the test samples, and nothing about other seeds.
    """
    differences = (values.astype(float) - baseline.astype(float)).mean(0)
    mean = float(differences.mean())
    if np.ptp(differences) == 0:
        return Interval(mean, mean, mean, len(differences))
    found = stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=100,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), len(differences))


def area_under_noise(levels: ArrayLike, accuracies: ArrayLike, clean: float) -> float:
    """The mean accuracy between no noise and the last level, relative to `clean`, by the trapezoid rule.

    `levels` rise and do not contain 0, at which the accuracy is `clean`. A network that loses nothing has 1.
    """
    x, y = np.concatenate([[0.0], np.asarray(levels, float)]), np.concatenate([[clean], np.asarray(accuracies, float)])
    return float(integrate.trapezoid(y, x) / (x[-1] * clean))

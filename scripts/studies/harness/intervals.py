"""Intervals of means and fractions over seeds, paired tests, and Holm's adjustment for many of them."""

import dataclasses
import math
from collections.abc import Hashable, Mapping

import numpy as np
from scipy import stats

LEVEL = 0.05
# Of equal differences nothing is known but their sign; equal up to rounding.
EQUAL = 1e-12


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval; both ends are NaN where a single seed has none.

    Attributes:
        mean: of the seeds that have the number; NaN if none has.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """Return "mean ± half width", "mean [low, high]" if that is lopsided, or the mean alone."""
        up, down = self.high - self.mean, self.mean - self.low
        half = max(up, down)
        if math.isnan(half) or half <= EQUAL * abs(self.mean) or abs(up - down) <= 1e-3 * half:
            return shown(self.mean, half)
        digits = max(0, 1 - math.floor(math.log10(half)))
        if digits > 5:
            return f"{self.mean:.3g} [{self.low:.2g}, {self.high:.2g}]"
        return f"{self.mean:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


@dataclasses.dataclass(frozen=True)
class Difference:
    """A mean difference over seeds.

    Attributes:
        mean: of the differences, NaN without seeds that have both numbers.
        half: half width of its 95 % interval, NaN where fewer than two seeds have both numbers.
        p: two-sided p-value of "no difference": paired t-test, sign test where all differences are equal.
        detectable: the difference that such a comparison, alone, would have seen four times in five.
    """

    mean: float
    half: float
    p: float
    detectable: float

    def __str__(self) -> str:
        """Return the signed mean with its half width."""
        return shown(self.mean, self.half, sign=True)


def estimate(values: np.ndarray, bounds: tuple[float, float] | None = None) -> Estimate:
    """Return the mean of values (n,) and the 95 % interval of Student's t, cut at what the number cannot exceed.

    NaNs are left out. The interval of equal values is a point: see `unlike`.
    """
    values = values[~np.isnan(values)]
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    mean = float(values.mean())
    if len(values) == 1:
        return Estimate(mean, math.nan, math.nan)
    half = _half_width(values)
    low, high = bounds or (-math.inf, math.inf)
    return Estimate(mean, max(mean - half, min(low, mean)), min(mean + half, max(high, mean)))


def fraction(successes: int, trials: int) -> Estimate:
    """Return a fraction of independent trials with its exact 95 % interval (Clopper and Pearson 1934)."""
    interval = stats.binomtest(successes, trials).proportion_ci(method="exact")
    return Estimate(successes / trials, float(interval.low), float(interval.high))


def unlike(n: int) -> float:
    """Return the fraction of further seeds that may differ where n seeds were alike: one-sided exact 95 % bound."""
    return 1 - LEVEL ** (1 / n)


def difference(values: np.ndarray) -> Difference:
    """Return mean, interval and test of paired differences (n,); NaNs are left out."""
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return Difference(float(values.mean()) if len(values) else math.nan, math.nan, math.nan, math.nan)
    n, mean, half = len(values), float(values.mean()), _half_width(values)
    if np.ptp(values) <= EQUAL * np.abs(values).max():
        return Difference(mean, half, 2 * 0.5**n if mean else 1.0, math.nan)
    power = 1 + stats.t.ppf(0.8, n - 1) / stats.t.ppf(0.975, n - 1)
    return Difference(mean, half, float(stats.ttest_1samp(values, 0.0).pvalue), float(power * half))


def holm(p: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Return p-values adjusted for being many (Holm 1979): those below 0.05 contain a false one in 5 % of such pages.

    NaNs, of what could not be tested, stay NaN and do not count.
    """
    tested = sorted((value, number) for number, value in enumerate(p.values()) if not math.isnan(value))
    adjusted, least = [math.nan] * len(p), 0.0
    for rank, (value, number) in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - rank) * value))
        adjusted[number] = least
    return dict(zip(p, adjusted, strict=True))


def _half_width(values: np.ndarray) -> float:
    """Return the half width of the 95 % interval of Student's t of at least two values (n,)."""
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))


def shown(mean: float, half: float, sign: bool = False) -> str:
    """Return "mean ± half width" with as many digits as the interval supports; `sign` for a plus before the mean."""
    plus = "+" if sign else ""
    if math.isnan(mean):
        return "-"
    # Rounding of equal numbers leaves an interval too.
    if math.isnan(half) or half <= EQUAL * abs(mean):
        whole = float(mean).is_integer() and abs(mean) < 1e9
        return f"{mean:{plus}.0f}" if whole else f"{mean:{plus}.3g}"
    digits = max(0, 1 - math.floor(math.log10(half)))
    if digits > 5 or abs(mean) >= 1e6:
        return f"{mean:{plus}.3g} ± {half:.2g}"
    return f"{mean:{plus}.{digits}f} ± {half:.{digits}f}"

"""The error of a few random probes: exact confidence intervals for fractions, and how many probes to take."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

Array = NDArray[Any]


def fraction_interval(low: Array, high: Array, n: int, probes: int, confidence: float) -> tuple[Array, Array]:
    r"""Return a confidence interval for the fraction of eigenvalues in a set, from bounds on its pooled probe measure.

    With P the projector on the K eigenvectors of the set and normal probes g, $\sum \|P g\|^2 / \sum \|g\|^2$
    is exactly $\mathrm{Beta}(R K/2, R (n - K)/2)$. It increases stochastically with K, so inverting its tails, as
    Clopper and Pearson do, covers with at least `confidence` at every n, K and R: also where few
    eigenvalues carry the set and Student's t over probes does not. Bounds that only bracket the pooled measure widen
    the interval.
    """
    tail = (1 - confidence) / 2
    half = probes * n / 2
    # Sums of weights carry rounding: without this a full share of 1 - 1e-16 would exclude the fraction 1.
    low, high = np.clip(low - 1e-12, 0.0, 1.0), np.where(high >= 1.0 - 1e-12, 1.0, high + 1e-12)

    def invert(share: Array, level: float) -> Array:
        left, right = np.zeros_like(share), np.ones_like(share)
        for _ in range(60):
            middle = (left + right) / 2
            larger = betainc(np.maximum(half * middle, 1e-12), np.maximum(half * (1 - middle), 1e-12), share) > level
            left, right = np.where(larger, middle, left), np.where(larger, right, middle)
        return (left + right) / 2

    bottom = np.where(low <= 0.0, 0.0, invert(np.asarray(low, dtype=float), 1 - tail))
    top = np.where(high >= 1.0, 1.0, invert(np.asarray(high, dtype=float), tail))
    return bottom, top

r"""Stochastic Lanczos quadrature with rigorous bounds.

A random probe g sees the spectrum through its own measure $\mu_g$, which puts the mass $(q_i^\top g)^2 / \|g\|^2$ on
$\lambda_i$. Lanczos from g gives a quadrature rule of $\mu_g$; its cumulative sums bracket $\mu_g$'s (Chebyshev,
Markov, Stieltjes), tightest at a prescribed Radau node (Golub and Meurant, Matrices, Moments and Quadrature, 2010).
That bracket is the error of too few steps; that of too few probes has an exact law of its own (`fraction_interval`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal
from scipy.special import betainc

from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.krylov.tridiagonal import tridiagonalise
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

BASIS_BYTES = 2**31


@dataclass(frozen=True)
class ProbeMeasure:
    """The Gauss rule of one probe's measure.

    Attributes:
        diagonal: (m,), of the Jacobi matrix.
        off_diagonal: (m,), of the Jacobi matrix; the last entry couples to the vector that was not added.
        nodes: (m,), ascending.
        weights: (m,); they sum to one.
        ends: (m,), last components of the Jacobi matrix's eigenvectors.
        exact: whether the rule is the whole measure, as after a breakdown.
        margin: rounding of the nodes, in the units of the eigenvalues.
        squared_norm: squared norm of the probe.
    """

    diagonal: Array
    off_diagonal: Array
    nodes: Array
    weights: Array
    ends: Array
    exact: bool
    margin: float
    squared_norm: float

    def bracket(self, x: float) -> tuple[float, float]:
        """Return bounds on the measure of (-inf, x) and of (-inf, x], from the Gauss-Radau rule with a node at x."""
        if self.exact:
            return self._sums(self.nodes, self.weights, x)
        distance = self.nodes - x
        if np.abs(distance).min() <= self.margin:
            return self._coarse(x)
        # The corner entry that makes x an eigenvalue; a huge one would cost the other nodes their accuracy.
        corner = x + self.off_diagonal[-1] ** 2 * float((self.ends**2 / distance).sum())
        if abs(corner - x) > 1e8 * max(np.abs(self.nodes).max(), abs(x)):
            return self._coarse(x)
        nodes, vectors = eigh_tridiagonal(np.append(self.diagonal, corner), self.off_diagonal)
        nodes[np.abs(nodes - x).argmin()] = x
        return self._sums(nodes, vectors[0] ** 2, x)

    def _sums(self, nodes: Array, weights: Array, x: float) -> tuple[float, float]:
        low, high = weights[nodes < x - self.margin].sum(), weights[nodes <= x + self.margin].sum()
        return float(min(low, high, 1.0)), float(min(max(low, high), 1.0))

    def _coarse(self, x: float) -> tuple[float, float]:
        low, high = self.coarse_bracket(x)
        return float(low), float(high)

    def coarse_bracket(self, x: Array | float) -> tuple[Array, Array]:
        """Return the bounds of `bracket` from the Gauss rule alone: wider by one weight, at no further cost."""
        total = np.concatenate([[0.0], np.cumsum(self.weights)])
        below = np.searchsorted(self.nodes, np.asarray(x) - self.margin, side="left")
        upto = np.searchsorted(self.nodes, np.asarray(x) + self.margin, side="right")
        if self.exact:
            return total[below], np.minimum(total[upto], 1.0)
        last = len(self.nodes)
        high = np.where(upto < last, total[np.minimum(upto + 1, last)], 1.0)
        return total[np.maximum(below - 1, 0)], np.minimum(high, 1.0)

    def brackets(self, points: Array, sharp: Array) -> Array:
        """Return bounds (p, 2) at ascending points, from Radau rules where `sharp`; these hold between them as well."""
        low, high = self.coarse_bracket(points)
        for i in np.flatnonzero(sharp):
            below, upto = self.bracket(points[i])
            low[i], high[i] = max(low[i], below), min(high[i], upto)
        return np.stack([np.maximum.accumulate(low), np.minimum.accumulate(high[::-1])[::-1]], axis=-1)


def probe_measures(
    operator: LinearOperator, probes: int, steps: int, seed: int
) -> tuple[list[ProbeMeasure], float, int]:
    """Run `steps` of Lanczos from normal probes; return their measures, the scale of A, and the products spent.

    Probes go in lock-step, as many at a time as keep the bases within 2 GiB.
    """
    if not operator.symmetric:
        raise GantoolsError("Quadrature needs a symmetric operator; for a Jacobian use eigenvalues() or spectrum().")
    if probes < 1 or steps < 1:
        raise GantoolsError(f"probes = {probes} and steps = {steps} must both be at least 1.")
    n = operator.n
    generator = torch.Generator().manual_seed(seed)
    epsilon = operator.precision
    together = max(1, BASIS_BYTES // (min(steps, n) * n * torch.finfo(operator.dtype).bits // 8))
    measures: list[ProbeMeasure] = []
    products = 0
    while len(measures) < probes:
        width = min(together, probes - len(measures))
        starts = torch.randn(n, width, generator=generator, dtype=torch.float64)
        squared = (starts**2).sum(dim=0).tolist()
        run = tridiagonalise(operator, starts, steps)
        products += run.matvecs
        for p in range(width):
            m = int(run.lengths[p])
            diagonal, off_diagonal = run.diagonal[p, :m], run.off_diagonal[p, :m]
            nodes, vectors = eigh_tridiagonal(diagonal, off_diagonal[:-1])
            margin = ROUNDING * epsilon * float(np.abs(nodes).max())
            exact = bool(off_diagonal[-1] == 0.0)
            weights, ends = vectors[0] ** 2, vectors[-1]
            measures.append(ProbeMeasure(diagonal, off_diagonal, nodes, weights, ends, exact, margin, squared[p]))
    return measures, float(max(np.abs(measure.nodes).max() for measure in measures)), products


def pooled(measures: list[ProbeMeasure], values: Array) -> Array:
    """Return the mean of `values` (probes, ...) weighted by the probes' squared norms, for `fraction_interval`."""
    norms = np.array([measure.squared_norm for measure in measures])
    return np.tensordot(norms / norms.sum(), values, axes=1)


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

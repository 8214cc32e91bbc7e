r"""The spectral measure of one random probe, as far as Lanczos has seen it.

A random probe g sees the spectrum through its own measure $\mu_g$, which puts the mass $(q_i^\top g)^2 / \|g\|^2$ on
$\lambda_i$. Lanczos from g gives a quadrature rule of $\mu_g$; its cumulative sums bracket $\mu_g$'s (Chebyshev,
Markov, Stieltjes), tightest at a prescribed Radau node (Golub and Meurant, Matrices, Moments and Quadrature, 2010).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal

from gantools.analysis.estimates.quadrature.radau import radau_masses

Array = NDArray[Any]


@dataclass(frozen=True)
class ProbeMeasure:
    """The Jacobi matrix of one probe's measure, and the quadrature rules that follow from it.

    Attributes:
        diagonal: (m,), of the Jacobi matrix.
        off_diagonal: (m,), of the Jacobi matrix; the last entry couples to the vector that was not added. It is 0 where
            the rule is the whole measure, as after a breakdown.
        margin: rounding of the nodes, in the units of the eigenvalues.
        slack: rounding of the weights.
        ended: whether the last coupling is no more than rounding, so that further steps would add nothing.
        squared_norm: squared norm of the probe.
    """

    diagonal: Array
    off_diagonal: Array
    margin: float
    slack: float
    squared_norm: float
    ended: bool = False

    @property
    def exact(self) -> bool:
        """Whether the Gauss rule is the whole measure."""
        return self.off_diagonal[-1] == 0.0

    @cached_property
    def nodes(self) -> Array:
        """The nodes (m,) of the Gauss rule, ascending: Ritz values."""
        return np.asarray(eigvalsh_tridiagonal(self.diagonal, self.off_diagonal[:-1]))

    @cached_property
    def weights(self) -> Array:
        """The weights (m,) of the Gauss rule; they sum to one."""
        return self.vectors[0] ** 2

    @cached_property
    def vectors(self) -> Array:
        """The eigenvectors (m, m) of the Jacobi matrix."""
        return eigh_tridiagonal(self.diagonal, self.off_diagonal[:-1])[1]

    def shortened(self, steps: int) -> ProbeMeasure:
        """Return what was known after so many steps, if there were more."""
        if steps >= len(self.diagonal):
            return self
        return dataclasses.replace(self, diagonal=self.diagonal[:steps], off_diagonal=self.off_diagonal[:steps])

    def brackets(self, points: Array, reach: Array | float = 0.0) -> Array:
        """Return bounds (p, 2) on the measure of (-inf, x) from below and of (-inf, x] from above at points (p,).

        Args:
            points: (p,), in any order.
            reach: a number or (p,), by how much the eigenvalues may lie elsewhere, beside the rounding.
        """
        reach = reach + self.margin
        below, at = radau_masses(
            self.diagonal, self.off_diagonal, np.concatenate([points - reach, points + reach]).astype(float)
        )
        p = len(points)
        low = below[:p] - 0.01 * at[:p] - self.slack
        high = below[p:] + 1.01 * at[p:] + self.slack
        return np.clip(np.stack([low, high], axis=-1), 0.0, 1.0)


def pooled(measures: Sequence[ProbeMeasure], values: Array) -> Array:
    """Return the mean of `values` (probes, ...) weighted by the probes' squared norms, for `fraction_interval`."""
    norms = np.array([measure.squared_norm for measure in measures])
    return np.tensordot(norms / norms.sum(), values, axes=1)

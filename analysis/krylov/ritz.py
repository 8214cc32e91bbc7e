"""Ritz pairs: their error bounds, when they count as converged, and their true residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.analysis.sharding.space import Space

Array = NDArray[Any]


@dataclass(frozen=True)
class Ritz:
    """Wanted Ritz pairs of a basis of j vectors, best first.

    Attributes:
        values: (k,) Ritz values.
        coordinates: (j, k) Ritz vectors of unit length, in the basis.
        residuals: (k,) residual norms.
        gaps: (k,) estimated distances to the rest of the spectrum; 0 where they must not be used, as for a
            non-symmetric operator, whose eigenvalue errors are of first order in the residual.
    """

    values: Array
    coordinates: Array
    residuals: Array
    gaps: Array


def error_bounds(residuals: Array, gaps: Array) -> Array:
    r"""Return a bound on the error of each eigenvalue: $\min(r, \max(r^2/\mathrm{gap}, r/10))$, and r where gap = 0.

    $\min(r, r^2/\mathrm{gap})$ is a theorem (Parlett, The Symmetric Eigenvalue Problem, 11.7) for the true gap. Ours is
    estimated, and a cluster that has not been resolved looks like one value with a wide gap: it earns one
    digit, no more.
    """
    usable = gaps > residuals
    return np.where(usable, np.maximum(residuals**2 / np.where(usable, gaps, 1.0), residuals / 10), residuals)


def accepted(errors: Array, values: Array, tol: float, scale: float, epsilon: float, slack: float = 0.0) -> Array:
    """Return a mask (m,) of errors within tol * max(|value|, eps^(2/3) scale), or within rounding (see `Spectrum`)."""
    return excess(errors, values, tol, scale, epsilon, slack) <= 1


def excess(errors: Array, values: Array, tol: float, scale: float, epsilon: float, slack: float = 0.0) -> Array:
    """Return the errors (m,) as multiples of the largest accepted one, see `accepted`."""
    wanted = tol * np.maximum(np.abs(values), epsilon ** (2 / 3) * scale)
    floor = ROUNDING * epsilon * scale
    allowed = np.maximum(wanted, floor) + slack * floor
    return np.divide(errors, allowed, out=np.where(errors > 0, np.inf, 0.0), where=allowed > 0)


def final_residuals(A: LinearOperator, basis: KrylovBasis, ritz: Ritz) -> tuple[Array, Array, Tensor]:
    """Return values, true residuals and unit vectors (n, k), from one block product.

    Lengths, residuals and a symmetric operator's Rayleigh quotients are computed in float64, vector by vector: copies
    of all would need twice the memory of the vectors. A conjugate pair needs two real products, not four: with
    X = [Re x, Im x], A X = X [[a, b], [-b, a]].
    """
    values = ritz.values
    upper = np.flatnonzero(np.imag(values) > 0)
    lower = upper + 1
    real = np.real(ritz.coordinates).copy()
    real[:, lower] = np.imag(ritz.coordinates)[:, upper]
    X = basis.lift(real).to(A.device)
    product = A @ X
    small = np.diag(np.real(values))
    small[upper, lower] = np.imag(values)[upper]
    small[lower, upper] = -np.imag(values)[upper]
    partner = np.arange(len(values))
    partner[upper], partner[lower] = lower, upper
    columns = range(len(values))
    measured = [_measured(X, product, i, int(partner[i]), small, A.symmetric, A.space) for i in columns]
    lengths, residuals, quotients = torch.stack(measured).cpu().numpy().T
    for part in (lengths, residuals):
        part[upper] = part[lower] = np.hypot(part[upper], part[lower])
    X /= torch.as_tensor(lengths).to(X)
    if A.symmetric:
        return quotients, residuals / lengths, X
    Z = torch.complex(X, torch.zeros_like(X))
    Z[:, upper] = torch.complex(X[:, upper], X[:, lower])
    Z[:, lower] = Z[:, upper].conj()
    return values, residuals / lengths, Z


def _measured(X: Tensor, product: Tensor, i: int, partner: int, small: Array, symmetric: bool, space: Space) -> Tensor:
    """Return the length of column i of X (n, k), the norm of column i of A X - X `small`, and x.(A x) / x.x."""
    x, image = X[:, i].double(), product[:, i].double()
    square, along = space.total(torch.stack([x @ x, x @ image]))
    quotient = along / square
    # The Rayleigh quotient in float64 is second order in the vector's error: it undoes float32's rounding there.
    image -= x * (quotient if symmetric else small[i, i])
    if partner != i:
        image -= X[:, partner].double() * small[partner, i]
    return torch.stack([square.sqrt(), space.norm(image), quotient])

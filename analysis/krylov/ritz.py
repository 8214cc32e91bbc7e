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


def final_residuals(
    A: LinearOperator, basis: KrylovBasis, ritz: Ritz, keep: bool = True
) -> tuple[Array, Array, Tensor | None]:
    """Return values, true residuals and unit vectors (n, k), from one block product.

    Vectors that processes divide are too long for that: they are made one by one, and kept only if `keep` says so.

    Lengths, residuals and a symmetric operator's Rayleigh quotients are computed in float64, vector by vector: copies
    of all would need twice the memory of the vectors. A conjugate pair needs two real products, not four: with
    X = [Re x, Im x], A X = X [[a, b], [-b, a]].
    """
    values = ritz.values
    upper = np.flatnonzero(np.imag(values) > 0)
    lower = upper + 1
    real = np.real(ritz.coordinates).copy()
    real[:, lower] = np.imag(ritz.coordinates)[:, upper]
    small = np.diag(np.real(values))
    small[upper, lower] = np.imag(values)[upper]
    small[lower, upper] = -np.imag(values)[upper]
    together = [np.arange(len(values))]
    if A.space.shared:
        together = np.split(together[0], np.flatnonzero(np.imag(values) >= 0)[1:])
    kept, measured = [], []
    for group in together:
        X = basis.lift(real[:, group]).to(A.device)
        measured += _measured(X, A @ X, small[np.ix_(group, group)], A)
        kept += [X] * keep
    lengths, residuals, quotients = torch.stack(measured).cpu().numpy().T
    for part in (lengths, residuals):
        part[upper] = part[lower] = np.hypot(part[upper], part[lower])
    values = quotients if A.symmetric else values
    if not keep:
        return values, residuals / lengths, None
    X = kept[0] if len(kept) == 1 else torch.cat(kept, dim=1)
    X /= torch.as_tensor(lengths).to(X)
    if A.symmetric:
        return values, residuals / lengths, X
    Z = torch.complex(X, torch.zeros_like(X))
    Z[:, upper] = torch.complex(X[:, upper], X[:, lower])
    Z[:, lower] = Z[:, upper].conj()
    return values, residuals / lengths, Z


def _measured(X: Tensor, product: Tensor, small: Array, A: LinearOperator) -> list[Tensor]:
    """Return, of each column x of X (n, m), its length, the norm of its column of A X - X `small`, x.(A x) / x.x."""
    found = []
    for i in range(len(small)):
        x, image = X[:, i].double(), product[:, i].double()
        square, along = A.space.total(torch.stack([x @ x, x @ image]))
        # The Rayleigh quotient in float64 is second order in the vector's error: it undoes float32's rounding there.
        image -= x * (along / square if A.symmetric else small[i, i])
        for partner in np.flatnonzero(small[:, i]):
            if partner != i:
                image -= X[:, partner].double() * small[partner, i]
        found.append(torch.stack([square.sqrt(), A.space.norm(image), along / square]))
    return found

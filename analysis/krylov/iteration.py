"""What the symmetric and the non-symmetric solver share: Ritz pairs, when they are accepted, and the restarted loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.operators.linear_operator import LinearOperator

Array = NDArray[Any]
Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Ritz:
    """Wanted Ritz pairs, best first: values (k,), coordinates (j, k) of unit vectors, residuals and gaps (k,).

    A gap is the estimated distance to the rest of the spectrum; 0 where it must not be used, as for a non-symmetric
    operator, whose eigenvalue errors are of first order in the residual.
    """

    values: Array
    coordinates: Array
    residuals: Array
    gaps: Array


class Method(Protocol):
    """How a solver reads its small matrix."""

    def extract(self, basis: KrylovBasis, k: int, which: str) -> Ritz:
        """Return the k best Ritz pairs."""
        ...

    def compress(self, basis: KrylovBasis, keep: int, which: str) -> tuple[Array, Array]:
        """Return the rotation (j, p) to the p ~ keep best directions and the projection (p, p) on them."""
        ...


def error_bounds(residuals: Array, gaps: Array) -> Array:
    r"""Return $\min(r, \max(r^2/\mathrm{gap}, r/10))$, and r where gap = 0.

    $\min(r, r^2/\mathrm{gap})$ is a theorem (Parlett, The Symmetric Eigenvalue Problem, 11.7) for the true gap. Ours is
    estimated, and a cluster that has not been resolved looks like one value with a wide gap: it earns one
    digit, no more.
    """
    usable = gaps > residuals
    return np.where(usable, np.maximum(residuals**2 / np.where(usable, gaps, 1.0), residuals / 10), residuals)


def accepted(errors: Array, values: Array, tol: float, scale: float, dtype: torch.dtype, slack: float = 0.0) -> Array:
    """Return which errors are within tol * max(|value|, eps^(2/3) scale), or within rounding (see `Spectrum`)."""
    return _excess(errors, values, tol, scale, dtype, slack) <= 1


def _excess(errors: Array, values: Array, tol: float, scale: float, dtype: torch.dtype, slack: float = 0.0) -> Array:
    """Return the errors in units of what is accepted."""
    epsilon = float(torch.finfo(dtype).eps)
    wanted = tol * np.maximum(np.abs(values), epsilon ** (2 / 3) * scale)
    floor = ROUNDING * epsilon * scale
    allowed = np.maximum(wanted, floor) + slack * floor
    return np.divide(errors, allowed, out=np.where(errors > 0, np.inf, 0.0), where=allowed > 0)


def _pause(products: int, before: float, now: float, longest: int) -> int:
    """Return after how many products to look again: half of what the worst pair needs at its present rate.

    Args:
        products: made since the last look.
        before, now: the worst pair's excess then and now.
        longest: the pause where there is nothing to go by.
    """
    if not 1.0 < now < before < np.inf:
        return longest
    needed = products * np.log(now) / np.log(before / now)
    return int(np.clip(needed / 2, 1, longest))


def iterate(
    method: Method,
    basis: KrylovBasis,
    k: int,
    which: str,
    tol: float,
    max_matvecs: int,
    first_check: int,
    check_every: int,
    progress: Progress | None = None,
    minimum: int = 0,
    store: Path | None = None,
) -> tuple[Ritz, int]:
    """Expand and restart until the k best Ritz pairs are accepted; return them and the number of products.

    The small problem is also solved between restarts, every `check_every` products once the basis holds
    `first_check` vectors, and more often where the end is near: a product costs far more than a look. At least
    `minimum` products are spent. The basis is saved to `store` at restarts and whenever the loop is interrupted, and
    resumed from there.
    """
    products = basis.load(store) if store is not None and store.exists() else 0
    agreed, looked, next_look, worst = 0, 0, 0, np.inf
    while True:
        try:
            basis.expand()
            products += basis.width
            full = basis.length + basis.width > basis.size
            last = products >= max_matvecs
            due = basis.length >= first_check and (products >= next_look or agreed > 0)
            if not (full or last or due):
                continue
            ritz = method.extract(basis, k, which)
            errors = error_bounds(ritz.residuals, ritz.gaps)
            excess = _excess(errors, ritz.values, tol, basis.scale, basis.operator.dtype)
            good = excess <= 1
            if progress is not None:
                progress(products, int(good.sum()), k)
        except BaseException:
            if store is not None and basis.length:
                basis.save(store, products)
            raise
        enough = len(good) >= k and bool(good.all()) and products >= minimum
        agreed = agreed + 1 if enough else 0
        next_look = products + _pause(products - looked, worst, float(excess.max()), check_every)
        looked, worst = products, float(excess.max())
        # Between restarts one more product must confirm: a Ritz value that is about to appear moves the others.
        if last or (enough and (full or agreed > 1)):
            return ritz, products
        if full:
            done = int(good.sum())
            # The wanted and more as they converge, as ARPACK does, but never only those: what comes next in line would
            # be lost at every restart. The fractions were tuned on the problems of bench_spectrum.py and on random
            # matrices: keeping half costs more products for SR, a sixth alone more for LI.
            rest = basis.size - k
            keep = k + max(1, rest // 6) + min(done, rest // 3)
            basis.restart(*method.compress(basis, min(keep, basis.size - basis.width), which))
            first_check = min(first_check, basis.length + 1)
            if store is not None:
                basis.save(store, products)


def final_residuals(A: LinearOperator, basis: KrylovBasis, ritz: Ritz) -> tuple[Array, Array, Tensor]:
    """Return values, true residuals and unit vectors (n, k), from one block product, in float64.

    A conjugate pair needs two real products, not four: with X = [Re x, Im x], A X = X [[a, b], [-b, a]].
    """
    values = ritz.values
    upper = np.flatnonzero(np.imag(values) > 0)
    lower = upper + 1
    real = np.real(ritz.coordinates).copy()
    real[:, lower] = np.imag(ritz.coordinates)[:, upper]
    X = basis.lift(real).to(A.device)
    product = (A @ X).double()
    X = X.double()
    small = np.diag(np.real(values))
    small[upper, lower] = np.imag(values)[upper]
    small[lower, upper] = -np.imag(values)[upper]
    length = torch.linalg.vector_norm(X, dim=0)
    if A.symmetric:
        # The Rayleigh quotient in float64 is second order in the vector's error: it undoes float32's rounding there.
        quotient = (X * product).sum(dim=0) / length**2
        values = quotient.cpu().numpy()
        small = np.diag(values)
    residual = torch.linalg.vector_norm(product - X @ torch.as_tensor(small).to(X.device), dim=0)
    lengths, residuals = torch.stack([length, residual]).cpu().numpy()
    for part in (lengths, residuals):
        part[upper] = part[lower] = np.hypot(part[upper], part[lower])
    X = X / torch.as_tensor(lengths).to(X.device)
    if not A.symmetric:
        Z = torch.complex(X, torch.zeros_like(X))
        Z[:, upper] = torch.complex(X[:, upper], X[:, lower])
        Z[:, lower] = Z[:, upper].conj()
        return values, residuals / lengths, Z.to(A.dtype.to_complex())
    return values, residuals / lengths, X.to(A.dtype)

"""What the symmetric and the non-symmetric solver share: Ritz pairs, when they are accepted, and the restarted loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.krylov_basis import ROUNDING, KrylovBasis

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
    epsilon = float(torch.finfo(dtype).eps)
    wanted = tol * np.maximum(np.abs(values), epsilon ** (2 / 3) * scale)
    floor = ROUNDING * epsilon * scale
    return errors <= np.maximum(wanted, floor) + slack * floor


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
    `first_check` vectors: a product costs far more than a look. At least `minimum` products are spent. The basis is
    saved to `store` at restarts and whenever the loop is interrupted, and resumed from there.
    """
    products = basis.load(store) if store is not None and store.exists() else 0
    agreed = 0
    while True:
        try:
            basis.expand()
        except BaseException:
            if store is not None and basis.length:
                basis.save(store, products)
            raise
        products += basis.width
        full = basis.length + basis.width > basis.size
        last = products >= max_matvecs
        due = basis.length >= first_check and (products % check_every < basis.width or agreed > 0)
        if not (full or last or due):
            continue
        ritz = method.extract(basis, k, which)
        good = accepted(error_bounds(ritz.residuals, ritz.gaps), ritz.values, tol, basis.scale, basis.operator.dtype)
        if progress is not None:
            progress(products, int(good.sum()), k)
        enough = len(good) >= k and bool(good.all()) and products >= minimum
        agreed = agreed + 1 if enough else 0
        # Between restarts one more product must confirm: a Ritz value that is about to appear moves the others.
        if last or (enough and (full or agreed > 1)):
            return ritz, products
        if full:
            done = int(good.sum())
            # The wanted and more as they converge, as ARPACK does, but never only those: what comes next in line would
            # be lost at every restart. The fractions were tuned on the problems of scripts/bench_spectrum.py and on
            # random matrices: keeping half costs more products for SR, a sixth alone more for LI.
            rest = basis.size - k
            keep = k + max(1, rest // 6) + min(done, rest // 3)
            basis.restart(*method.compress(basis, min(keep, basis.size - basis.width), which))
            first_check = min(first_check, basis.length + 1)
            if store is not None:
                basis.save(store, products)

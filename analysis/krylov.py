"""What the symmetric and the non-symmetric solver share: a resident Krylov basis, and the loop that restarts it.

Both keep a Krylov decomposition (Stewart, SIAM J. Matrix Anal. Appl. 23, 2001)
$A V_j = V_j S_j + v_{j+1} b_j^\\top$ with orthonormal $V$; they differ only in how the small $S$ is decomposed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]
Progress = Callable[[int, int, int], None]

# What rounding leaves of an orthogonalised product, in units of eps * scale. Anything smaller is noise: as a
# recurrence coefficient it would only steer the basis to a random direction, which we then take on purpose.
ROUNDING = 10.0


def random_vector(n: int, dtype: torch.dtype, device: torch.device, generator: torch.Generator) -> Tensor:
    """Return a normal vector (n,), drawn on the CPU so that every device starts from the same one."""
    return torch.randn(n, generator=generator, dtype=torch.float64).to(dtype=dtype, device=device)


def orthogonalise(
    basis: Tensor, w: Tensor, known: Tensor | None = None, start: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Remove the rows of `basis` (j + 1, n) from w (n,), twice: once is not enough (Giraud et al., 2005).

    Args:
        basis: orthonormal rows.
        w: what to clear of them.
        known: the coefficients (j - start,) on the rows from `start` to the last but one, those before being 0, as a
            symmetric operator's recurrence tells them: then the first pass takes only these and the last row, which
            halves the work. The second pass, over all rows, corrects them.

    Returns the coefficients (j + 1,) float64, what is left of w, and its norms before and after each pass, (3,)
    float64.
    """
    # The first two only scale tolerances; the last is a coefficient of the recurrence, so it is summed in float64.
    norms = [torch.linalg.vector_norm(w).double()]
    coefficients = torch.zeros(basis.shape[0], dtype=torch.float64, device=w.device)
    for first in (True, False):
        rows = basis[start:] if first else basis
        part = rows @ w if known is None or not first else torch.cat([known, (basis[-1] @ w)[None]])
        w = torch.addmv(w, rows.T, part, alpha=-1)
        coefficients[len(basis) - len(rows) :] += part
        norms.append(torch.linalg.vector_norm(w, dtype=None if first else torch.float64).double())
    return coefficients, w, torch.stack(norms)


class KrylovBasis:
    """An orthonormal basis on the operator's device, in its dtype, and A's projection on it, in float64 on the host.

    Attributes:
        vectors: (size + 1, n), one tensor; the rows up to `length` are the basis, the next one its continuation.
        projected: (size + 1, size): A V[:j]^T = V[:j+1]^T projected[:j+1, :j].
        scale: the largest ||A v|| seen, a lower estimate of the norm of A.
    """

    def __init__(self, operator: LinearOperator, size: int, generator: torch.Generator):
        self.operator = operator
        self.generator = generator
        self.size = size
        self.length = 0
        self.scale = 0.0
        self.epsilon = float(torch.finfo(operator.dtype).eps)
        self.vectors = self._allocate()
        self.projected = np.zeros((size + 1, size))
        self.vectors[0] = self._fresh(0)

    def _allocate(self) -> Tensor:
        shape, dtype, device = (self.size + 1, self.operator.n), self.operator.dtype, self.operator.device
        try:
            return torch.empty(shape, dtype=dtype, device=device)
        except RuntimeError as error:  # also torch.OutOfMemoryError
            gigabytes = shape[0] * shape[1] * dtype.itemsize / 2**30
            raise GantoolsError(
                f"A basis of {shape[0]} vectors of {shape[1]} numbers needs {gigabytes:.3g} GiB on {device}, more than "
                "there is: lower basis= or k=, or take a player or a layer instead of the whole."
            ) from error

    def _fresh(self, rows: int) -> Tensor:
        w = random_vector(self.operator.n, self.operator.dtype, self.operator.device, self.generator)
        if rows:
            w = orthogonalise(self.vectors[:rows], w)[1]
        return w / torch.linalg.vector_norm(w)

    def lock(self, vectors: Tensor, square: Array) -> None:
        """Begin with an invariant subspace instead: A X = X `square` for X = `vectors` (n, p), columns independent.

        The next direction is random and orthogonal to it, so that only what X lacks can appear.
        """
        Q, R = torch.linalg.qr(vectors.double())
        triangle = R.cpu().numpy()
        count = len(triangle)
        self.vectors[:count] = Q.T.to(self.vectors.dtype)
        self.projected[:count, :count] = triangle @ square @ np.linalg.inv(triangle)
        self.vectors[count] = self._fresh(count)
        self.length = count
        self.scale = float(np.linalg.norm(self.projected[:count, :count], 2))

    def expand(self) -> None:
        """Append one vector: one product, two passes of Gram-Schmidt, one transfer to the host."""
        j = self.length
        w = self.operator @ self.vectors[j]
        coefficients, w, norms = orthogonalise(self.vectors[: j + 1], w, *self._recurrence())
        host = torch.cat([coefficients, norms]).cpu().numpy()
        if not np.isfinite(host).all():
            raise GantoolsError(
                f"Product {self.operator.matvecs} of the operator contains NaN or infinite values: check that the "
                "parameters and the batch are finite and that the loss is differentiable there."
            )
        column, (before, once, beta) = host[: j + 1], host[j + 1 :]
        self.scale = max(self.scale, float(before))
        breakdown = beta <= ROUNDING * self.epsilon * self.scale
        if not breakdown and beta < 0.5 * once:
            # The second pass removed much again, so its own rounding matters; rare, hence outside the fixed two.
            more, w, norms = orthogonalise(self.vectors[: j + 1], w)
            column, beta = column + more.cpu().numpy(), float(norms[-1])
            breakdown = beta <= ROUNDING * self.epsilon * self.scale
        self.projected[: j + 1, j] = column
        # A breakdown means an invariant subspace, which holds one copy of each of its eigenvalues: other copies, and
        # other eigenvalues, are looked for from a fresh direction, decoupled by an exact zero.
        self.projected[j + 1, j] = 0.0 if breakdown else beta
        self.vectors[j + 1] = self._fresh(j + 1) if breakdown else w / beta
        self.length = j + 1

    def _recurrence(self) -> tuple[Tensor | None, int]:
        """Return what symmetry tells of the next column above its diagonal: the coefficients, and where they start."""
        j = self.length
        if not self.operator.symmetric or j == 0:
            return None, 0
        row = self.projected[j, :j]
        start = int(np.argmax(row != 0.0)) if row.any() else j
        return torch.as_tensor(row[start:]).to(dtype=self.vectors.dtype, device=self.vectors.device), start

    @property
    def square(self) -> Array:
        """The projection (j, j)."""
        return self.projected[: self.length, : self.length]

    @property
    def border(self) -> Array:
        """The row (j,) that couples the basis to its continuation; the residual of a Ritz vector y is |border @ y|."""
        return self.projected[self.length, : self.length]

    def restart(self, rotation: Array, square: Array) -> None:
        """Shrink the basis to V Q for Q = `rotation` (j, p), whose projection is `square` (p, p)."""
        kept = rotation.shape[1]
        border = self.border @ rotation
        # Deflation: a direction that couples less than rounding is invariant as far as this dtype can tell.
        border[np.abs(border) <= self.epsilon * self.scale] = 0.0
        continuation = self.vectors[self.length].clone()
        self.vectors[:kept] = self.lift(rotation).T
        self.vectors[kept] = continuation
        self.projected[:] = 0.0
        self.projected[:kept, :kept] = square
        self.projected[kept, :kept] = border
        self.length = kept

    def save(self, path: Path, products: int) -> None:
        """Write the decomposition, so that `load` can go on from it."""
        state = {
            "vectors": self.vectors[: self.length + 1].cpu(),
            "projected": torch.from_numpy(self.projected),
            "scale": self.scale,
            "products": products,
            "generator": self.generator.get_state(),
        }
        partial = path.with_name(path.name + ".part")
        torch.save(state, partial)
        partial.replace(path)  # so that an interruption while writing leaves the previous one

    def load(self, path: Path) -> int:
        """Go on from a saved decomposition, after one product that shows it to be this operator's; return those before.

        Raises:
            GantoolsError: for one of another operator or size.
        """
        state = torch.load(path, weights_only=True)
        vectors, projected = state["vectors"], state["projected"].numpy()
        fits = projected.shape == self.projected.shape and vectors.shape[1] == self.operator.n
        if fits and vectors.dtype == self.vectors.dtype:
            self.length = len(vectors) - 1
            self.vectors[: len(vectors)] = vectors.to(self.vectors.device)
            self.projected[:] = projected
            self.scale = float(state["scale"])
            self.generator.set_state(state["generator"])
            weights = np.linspace(1, 2, max(self.length, 1))[: self.length]
            expected = self.lift((self.projected[:, : self.length] @ weights)[: self.length + 1][:, None])[:, 0]
            product = self.operator @ self.lift(weights[:, None])[:, 0] if self.length else expected
            if float((product - expected).norm()) <= 1e3 * self.epsilon * self.scale * float(np.linalg.norm(weights)):
                return int(state["products"])
        raise GantoolsError(
            f"{path} holds the basis of another operator, size or dtype: resume with the same parameters, batch, k and "
            "basis, or give another file."
        )

    def lift(self, coordinates: Array) -> Tensor:
        """Return the vectors (n, k) with real coordinates (j, k) in the basis."""
        matrix = torch.as_tensor(coordinates).to(dtype=self.vectors.dtype, device=self.vectors.device)
        return (matrix.T @ self.vectors[: len(coordinates)]).T


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
        products += 1
        full = basis.length == basis.size
        last = products >= max_matvecs
        due = basis.length >= first_check and (products % check_every == 0 or agreed > 0)
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
            basis.restart(*method.compress(basis, min(keep, basis.size - 1), which))
            first_check = min(first_check, basis.length + 1)
            if store is not None:
                basis.save(store, products)

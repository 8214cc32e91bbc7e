r"""What is known of a symmetric operator before it is probed: zero rows, leading eigenpairs, the rounding of products.

With orthonormal Ritz vectors X, $A X = X \Theta + R$, Sylvester's law of inertia gives for every x but the $\theta_i$:
$A - x$ has as many negative eigenvalues as $\Theta - x$ and $M - x - R (\Theta - x)^{-1} R^\top$ together, M being A
on the complement of X. So the eigenvalues of M count those of A but the $\theta_i$, at a threshold that is uncertain by
$\sum_i r_i^2 / |\theta_i - x|$: Ritz values that have not converged to the last digit do as well.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.eigen.eigenvalues import eigenvalues
from gantools.analysis.krylov.iteration import Progress
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.analysis.sharding.space import Space

Array = NDArray[Any]

# Error bounds of the leading eigenvalues: their squares count, see above. Pairs that remain beyond are not used.
TOLERANCE, NEGLIGIBLE = 1e-5, 1e-9
# Vectors of their basis beyond them: a fifth more products than with as many again, at 60 % of the memory.
SPARE = 6
ROWS = 2**20  # parameters whose Gram matrix is summed at a time


@dataclass(frozen=True)
class KnownPart:
    """Zero rows, leading Ritz pairs, and the rounding of products.

    Attributes:
        values: (k,) the Ritz values.
        residuals: (k,) of their vectors.
        vectors: (k, n) orthonormal rows on the operator's device.
        zero_rows: how many rows of the operator are exactly zero.
        alive: (n,) which are not, or None where none is.
        rounding: of a product with a unit vector, measured.
        scale: the largest |A u| / |u| seen.
        products: spent on all this.
        space: of the vectors; None where they are whole.
    """

    values: Array
    residuals: Array
    vectors: Tensor | None
    zero_rows: int
    alive: Tensor | None
    rounding: float
    scale: float
    products: int
    space: Space | None = None

    def removed(self, rows: Tensor) -> Tensor:
        """Return rows (p, n) without their components in zero rows and along the vectors."""
        if self.alive is not None:
            rows = rows * self.alive
        for _ in range(2):
            rows = self.cleared(rows)
        return rows

    def cleared(self, rows: Tensor) -> Tensor:
        """Return rows (p, n) without their components along the vectors, once; the rows may be changed in place."""
        if self.vectors is None:
            return rows
        along = rows @ self.vectors.T
        return rows.addmm_(along if self.space is None else self.space.total(along), self.vectors, alpha=-1)

    def dimension(self, n: int) -> int:
        """Return how many eigenvalues are left to the probes: all, where every row is zero."""
        return n - len(self.values) - (self.zero_rows if self.zero_rows < n else 0)

    @property
    def coupling(self) -> float:
        """The norm of R at most: how far the eigenvalues of both parts together may be from those of the whole."""
        return float(np.linalg.norm(self.residuals))

    def reach(self, points: Array) -> Array:
        """Return by how much a count of the rest's eigenvalues at thresholds (p,) is uncertain in the threshold."""
        if len(self.values) == 0:
            return np.zeros(len(points))
        distance = np.abs(self.values - points[:, None])
        with np.errstate(divide="ignore"):
            joint = (self.residuals**2 / distance).sum(axis=1)
        return np.where(distance.min(axis=1) <= self.coupling, self.coupling, np.minimum(joint, self.coupling))

    def counts(self, points: Array) -> tuple[Array, Array]:
        """Return how many values lie below and up to thresholds (p,) at least and at most, zero rows not counted."""
        reach = self.coupling + self.rounding
        values = np.sort(self.values)
        return (
            np.searchsorted(values, points - reach, side="left"),
            np.searchsorted(values, points + reach, side="right"),
        )

    def state(self) -> dict[str, Any]:
        """Return what `restored` makes the same of, on the host."""
        arrays = {name: torch.from_numpy(getattr(self, name)) for name in ("values", "residuals")}
        rows = {name: None if t is None else t.cpu() for name, t in (("vectors", self.vectors), ("alive", self.alive))}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "space"} | arrays | rows

    @classmethod
    def restored(cls, state: dict[str, Any], device: torch.device) -> KnownPart:
        """Return what `state` described."""
        there: dict[str, Any] = {name: t.to(device) for name, t in state.items() if isinstance(t, Tensor)}
        arrays = {name: state[name].numpy() for name in ("values", "residuals")}
        return cls(**(state | there | arrays))


def find_known(A: LinearOperator, leading: int, seed: int, progress: Progress | None = None) -> KnownPart:
    """Look for zero rows, measure the rounding of a product, and compute up to `leading` eigenpairs of largest modulus.

    A product with a random vector is exactly zero in the zero rows and in no others; another with three times the
    vector differs from three times the first by the rounding of both.
    """
    before = A.matvecs
    u = A.space.normal(A.dtype, A.device, torch.Generator().manual_seed(seed + 1))
    product = A @ u
    norm = float(A.space.norm(u, dtype=torch.float64))
    difference = A.space.norm(A @ (3 * u) / 3 - product, dtype=torch.float64)
    scale = float(A.space.norm(product, dtype=torch.float64)) / norm
    alive = product != 0
    zero_rows = A.n - int(A.space.total(alive.sum()))
    del product, u
    values, residuals, vectors = np.zeros(0), np.zeros(0), None
    leading = min(leading, (A.n - zero_rows) // 4)  # something must be left to probe
    if leading:
        values, residuals, vectors, largest = _leading_pairs(A, leading, seed, progress)
        scale = max(scale, largest)
    return KnownPart(
        values,
        residuals,
        vectors,
        zero_rows,
        alive if 0 < zero_rows < A.n else None,
        float(difference) / norm / 2**0.5,
        scale,
        A.matvecs - before,
        A.space if A.space.shared else None,
    )


def _leading_pairs(
    A: LinearOperator, k: int, seed: int, progress: Progress | None
) -> tuple[Array, Array, Tensor | None, float]:
    basis, limit = k + SPARE, 6 * k + 40
    s = eigenvalues(
        A, k, "LM", tol=TOLERANCE, seed=seed + 2, basis=basis, max_matvecs=limit, guard=False, progress=progress
    )
    values, residuals = s.values.numpy(), s.residuals.numpy()
    floor = max(NEGLIGIBLE, A.precision) * s.scale
    useful = residuals**2 <= floor * np.abs(values)
    if not useful.any():
        return np.zeros(0), np.zeros(0), None, s.scale
    assert s.vectors is not None
    rows = s.vectors.T[torch.from_numpy(useful).to(s.vectors.device)].contiguous()
    del s
    return values[useful], residuals[useful], _orthonormal(rows, A.space), float(np.abs(values).max())


def _orthonormal(rows: Tensor, space: Space) -> Tensor:
    """Make nearly orthonormal rows (k, n) orthonormal to rounding, in place, by a Cholesky factor in float64."""
    gram = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for part in rows.split(ROWS, dim=1):
        wide = part.double()
        gram += wide @ wide.T
    # Multiplied with the inverse: a GPU takes seventeen seconds to solve triangular systems with so many right sides.
    inverse = space.agreed(torch.linalg.inv(torch.linalg.cholesky(space.total(gram).cpu()))).to(rows.device)
    for part in rows.split(ROWS, dim=1):
        part.copy_(inverse @ part.double())
    return rows

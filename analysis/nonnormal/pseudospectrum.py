r"""Pseudospectra: the eigenvalues of all matrices within a given distance of an operator.

Eigenvalues describe the behaviour after long times. Transient behaviour, and the effect of perturbations, they describe
for normal matrices only (Trefethen and Embree, Spectra and Pseudospectra, 2005).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal, schur, solve_triangular

from gantools.analysis.eigen.dense import assemble
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

MAX_WHOLE = 400


@dataclass(frozen=True)
class Pseudospectrum:
    r"""The distance $\sigma_{\min}(zI - A)$ of A to the nearest matrix with the eigenvalue z, for z on a grid.

    Attributes:
        x: (columns,) real parts of the grid.
        y: (rows,) imaginary parts of the grid.
        distance: (rows, columns) the smallest singular value, $1 / \|(zI - A)^{-1}\|_2$.
        eigenvalues: (n,) complex128.
        kind: of the operator.
        n: order of the operator.
        matvecs: products spent.
        dtype: of the products.
    """

    x: Array
    y: Array
    distance: Array
    eigenvalues: Array
    kind: str
    n: int
    matvecs: int
    dtype: torch.dtype

    def to_numpy(self) -> dict[str, Array]:
        """Return everything as arrays."""
        return {"x": self.x, "y": self.y, "distance": self.distance, "eigenvalues": self.eigenvalues}


def pseudospectrum(
    A: LinearOperator,
    bounds: tuple[float, float, float, float] | None = None,
    points: int = 60,
    limit: int = MAX_WHOLE,
    rtol: float = 1e-3,
) -> Pseudospectrum:
    r"""Compute $\sigma_{\min}(zI - A)$ on a grid, from the Schur form by inverse Lanczos iteration (Lui 1997).

    Args:
        A: a small operator, whose whole matrix is formed.
        bounds: (left, right, bottom, top) of the grid, by default the eigenvalues and a third of their extent around.
        points: of the grid along its longer side.
        limit: refuse larger n: each of about points^2 values costs some n^2.
        rtol: relative tolerance of the singular values; a picture needs no more than the default.

    >>> p = gt.analysis.pseudospectrum(gt.analysis.jacobian(game, batch), bounds=(-1, 1, -1, 1), points=3)
    >>> float(p.distance[1, 1])  # from 0 to the eigenvalue nearest to it
    0.5
    """
    T = schur(assemble(A, limit), output="complex")[0]
    values = T.diagonal().copy()
    left, right, bottom, top = _around(values) if bounds is None else bounds
    if not (left < right and bottom < top) or points < 2:
        raise GantoolsError(f"bounds = {bounds} with {points} points hold no grid: give left < right and bottom < top.")
    step = max(right - left, top - bottom) / (points - 1)
    x = np.linspace(left, right, max(2, round((right - left) / step) + 1))
    y = np.linspace(bottom, top, max(2, round((top - bottom) / step) + 1))
    mirrored = np.allclose(y, -y[::-1], rtol=0, atol=1e-12 * step)
    distance = np.empty((len(y), len(x)))
    for row, b in enumerate(y):
        twin = len(y) - 1 - row
        if mirrored and twin < row:  # A is real: its pseudospectra mirror at the real axis
            distance[row] = distance[twin]
            continue
        distance[row] = [_smallest_singular_value(T, complex(a, b), rtol) for a in x]
    return Pseudospectrum(x, y, distance, values, A.kind, A.n, A.n, A.dtype)


def _around(values: Array) -> tuple[float, float, float, float]:
    real, imaginary = np.real(values), np.abs(np.imag(values))
    extent = max(float(np.ptp(real)), 2 * float(imaginary.max()))
    margin = extent / 3 or float(np.abs(values).max()) / 3 or 1.0
    top = float(imaginary.max()) + margin
    return float(real.min()) - margin, float(real.max()) + margin, -top, top


def _smallest_singular_value(T: Array, z: complex, rtol: float) -> float:
    """Return the smallest singular value of zI - T, T triangular, by Lanczos on the inverse of its Gram matrix."""
    n = len(T)
    shifted = z * np.eye(n) - T
    if n <= 40:  # where LAPACK is quicker
        return float(np.linalg.svd(shifted, compute_uv=False)[-1])
    size = float(np.linalg.norm(shifted))
    if float(np.abs(shifted.diagonal()).min()) <= np.finfo(float).eps * size:
        return 0.0
    source = np.random.default_rng(0)
    q = source.standard_normal(n) + 1j * source.standard_normal(n)
    Q = [q / np.linalg.norm(q)]
    diagonal: list[float] = []
    off: list[float] = []
    before = largest = 0.0
    for _ in range(n):
        v = solve_triangular(shifted, Q[-1], check_finite=False, trans=2)
        v = solve_triangular(shifted, v, check_finite=False)
        diagonal.append(float((Q[-1].conj() @ v).real))
        basis = np.array(Q)
        for _ in range(2):  # Gram-Schmidt twice
            v = v - basis.T @ (basis.conj() @ v)
        largest = float(eigh_tridiagonal(diagonal, off, eigvals_only=True, select="i", select_range=(len(off),) * 2)[0])
        beta = float(np.linalg.norm(v))
        if not math.isfinite(largest):
            return 0.0
        # Its relative change is the square of the vector's error, and sigma has half of it.
        if abs(largest - before) <= 0.1 * rtol * largest or beta <= 1e-14 * largest:
            break
        before = largest
        off.append(beta)
        Q.append(v / beta)
    return 1 / math.sqrt(largest)

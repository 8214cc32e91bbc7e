r"""How far an operator is from normal: pseudospectra, and Henrici's departure; also `field_of_values`.

Eigenvalues tell what happens in the end. What happens before, and how much a perturbation moves them, they tell for
normal matrices only (Trefethen and Embree, Spectra and Pseudospectra, 2005).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eigh_tridiagonal, schur, solve_triangular

from gantools.analysis.dense import assemble
from gantools.analysis.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

MAX_WHOLE = 400


# Pseudospectra -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pseudospectrum:
    r"""$\sigma_{\min}(zI - A)$ on a grid: inside its level set eps a perturbation of size eps puts an eigenvalue.

    Attributes:
        x, y: (columns,) and (rows,), real and imaginary parts of the grid.
        distance: (rows, columns) the smallest singular value, $1 / \|(zI - A)^{-1}\|_2$.
        eigenvalues: (n,) complex128. kind: of the operator. n, matvecs, dtype: what it was made with.
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
        rtol: of the singular values; a picture needs no more.
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
    """Return that of zI - T for a triangular T, by Lanczos on the inverse of its Gram matrix."""
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
    before = 0.0
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


# Henrici -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normality:
    r"""Henrici's departure from normality, $\mathrm{dep}^2 = \|A\|_F^2 - \sum |\lambda_i|^2$.

    Attributes:
        departure: the departure where it is known exactly, else its lower bound.
        relative: departure over the Frobenius norm: 0 for normal, towards 1 for nilpotent.
        lower, upper: bounds on the departure; the same where it is exact.
        commutator: $\|A^\top A - A A^\top\|_F$. frobenius: $\|A\|_F$.
        exact: from the whole matrix; otherwise the norms are estimates from `probes` random vectors, without the
            coverage that a confidence interval has.
        n, matvecs, dtype: what it was made with.
    """

    departure: float
    relative: float
    lower: float
    upper: float
    commutator: float
    frobenius: float
    exact: bool
    n: int
    matvecs: int
    dtype: torch.dtype

    def __str__(self) -> str:
        if self.exact:
            return (
                f"Departure from normality {self.departure:.4g}, {self.relative:.1%} of the Frobenius norm "
                f"{self.frobenius:.4g} (n = {self.n}, exact)."
            )
        return (
            f"Departure from normality about {self.lower:.4g} at least, {self.relative:.1%} of the Frobenius norm "
            f"{self.frobenius:.4g} (n = {self.n}, from {self.matvecs} products)."
        )


def departure_from_normality(A: LinearOperator, max_whole: int = 2000, probes: int = 30, seed: int = 0) -> Normality:
    r"""Measure how far an operator is from normal (Henrici 1962).

    From the whole matrix by its Schur form, whose part above the diagonal has the departure as its norm: the
    difference of squares would lose half of the digits. Beyond `max_whole` from the commutator
    $C = A^\top A - A A^\top$, by random signs: $\|A\|_F^2 - \sqrt{\|A\|_F^4 - \|C\|_F^2/2} \le \mathrm{dep}^2 \le
    \sqrt{(n^3 - n)/12}\, \|C\|_F$ (Elsner and Paardekooper 1987, Henrici).

    Args:
        A: an operator with a transpose.
        max_whole: up to which n the whole matrix is taken; the work grows as n^3.
        probes: of the estimate; four products each.
        seed: of the probes.
    """
    n = A.n
    if max_whole >= n:
        matrix = assemble(A, max_whole)
        T = schur(matrix, output="complex")[0]
        departure, norm = float(np.linalg.norm(np.triu(T, 1))), float(np.linalg.norm(matrix))
        commutator = float(np.linalg.norm(matrix.T @ matrix - matrix @ matrix.T))
        relative = departure / norm if norm else 0.0
        return Normality(departure, relative, departure, departure, commutator, norm, True, n, n, A.dtype)
    if probes < 1:
        raise GantoolsError(f"probes = {probes} measure nothing: give 1 or more.")
    G = (2 * torch.randint(2, (n, probes), generator=torch.Generator().manual_seed(seed)) - 1).to(A.device, A.dtype)
    forth, back = A @ G, A.T @ G
    squared = float(((forth.double() ** 2).sum() + (back.double() ** 2).sum()) / (2 * probes))
    commutator = float((A.T @ forth - A @ back).double().norm()) / math.sqrt(probes)
    lower = math.sqrt(max(squared - math.sqrt(max(squared**2 - commutator**2 / 2, 0.0)), 0.0))
    upper = math.sqrt(min(math.sqrt((float(n) ** 3 - n) / 12) * commutator, squared))
    norm = math.sqrt(squared)
    relative = lower / norm if norm else 0.0
    return Normality(lower, relative, lower, max(upper, lower), commutator, norm, False, n, 4 * probes, A.dtype)

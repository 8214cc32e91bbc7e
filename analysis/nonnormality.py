r"""How far an operator is from normal: field of values, pseudospectra, Henrici's departure.

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
from torch import Tensor

from gantools.analysis.dense import assemble
from gantools.analysis.eigenvalues import eigenvalues
from gantools.analysis.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

MAX_WHOLE = 400


# Field of values -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FieldOfValues:
    r"""The boundary of the field of values $\{x^* A x : \|x\| = 1\}$, a convex set that holds all eigenvalues.

    Attributes:
        boundary: (angles,) complex128, points of it, counterclockwise: a polygon inside.
        directions: (angles,) the angles theta; support: (angles,) the largest
            $\mathrm{Re}(e^{-i\theta} z)$ in the set: half-planes, the polygon outside.
        errors: (angles,) bounds on the error of the support.
        converged: whether all of them are within the tolerance.
        eigenvalues: (n,) where the whole matrix was taken, else None.
        matvecs, n, dtype: what it was made with.
    """

    boundary: Array
    directions: Array
    support: Array
    errors: Array
    converged: bool
    eigenvalues: Array | None
    matvecs: int
    n: int
    dtype: torch.dtype

    @property
    def least_real(self) -> float:
        r"""The least real part, $\lambda_{\min}((A + A^\top)/2)$: where negative, distances can grow at first."""
        return float(-self.support[np.abs(self.directions - math.pi).argmin()])

    @property
    def largest_imaginary(self) -> float:
        r"""The largest imaginary part, $\|(A - A^\top)/2\|_2$."""
        return float(self.support[np.abs(self.directions - math.pi / 2).argmin()])

    @property
    def numerical_radius(self) -> float:
        """The largest modulus, from below."""
        return float(np.abs(self.boundary).max())

    def __str__(self) -> str:
        words = (
            f"Field of values of a {self.n} x {self.n} operator ({self.dtype}, {self.matvecs} products): real parts "
            f"from {self.least_real:.4g} to {float(self.support[0]):.4g}, imaginary ones up to "
            f"{self.largest_imaginary:.4g}."
        )
        return words if self.converged else words + " Not all of it converged: raise max_matvecs or tol."


def field_of_values(
    A: LinearOperator,
    angles: int = 64,
    tol: float = 1e-6,
    max_whole: int = MAX_WHOLE,
    max_matvecs: int | None = None,
    seed: int = 0,
) -> FieldOfValues:
    r"""Compute the boundary of the field of values from extreme eigenvectors of $\mathrm{Re}(e^{-i\theta} A)$.

    (Johnson 1978.) For a real operator the set mirrors at the real axis, so half of the angles are solved.

    Args:
        A: an operator with a transpose.
        angles: how many directions in the whole circle, a multiple of 4.
        tol: relative, of the support, where it is iterated for.
        max_whole: up to which n the whole matrix is taken; beyond, each angle is an eigenvalue problem of order 2n.
        max_matvecs: of each angle; see `eigenvalues`.
        seed: of the start vectors.
    """
    if angles < 4 or angles % 4:
        raise GantoolsError(f"angles = {angles} misses the axes: give a multiple of 4.")
    half = np.linspace(0, math.pi, angles // 2 + 1)
    if max_whole >= A.n:
        matrix = assemble(A)
        found = [_support_whole(matrix, theta) for theta in half]
        values, matvecs = np.linalg.eigvals(matrix), A.n
    else:
        solver = _SupportByProducts(A, tol, max_matvecs, seed)
        found = [solver(theta) for theta in half]
        values, matvecs = None, solver.matvecs
    support, points, errors, good = (np.array(column) for column in zip(*found, strict=True))
    mirrored = slice(-2, 0, -1)
    return FieldOfValues(
        boundary=np.concatenate([points, points[mirrored].conj()]),
        directions=np.concatenate([half, 2 * math.pi - half[mirrored]]),
        support=np.concatenate([support, support[mirrored]]),
        errors=np.concatenate([errors, errors[mirrored]]),
        converged=bool(good.all()),
        eigenvalues=values,
        matvecs=matvecs,
        n=A.n,
        dtype=A.dtype,
    )


def _support_whole(matrix: Array, theta: float) -> tuple[float, complex, float, bool]:
    turned = np.exp(-1j * theta) * matrix
    values, vectors = np.linalg.eigh((turned + turned.conj().T) / 2)
    x = vectors[:, -1]
    rounding = len(matrix) * np.finfo(float).eps * float(np.abs(values).max())
    return float(values[-1]), complex(x.conj() @ matrix @ x), rounding, True


class _SupportByProducts:
    r"""Largest eigenpair of the Hermitian part of $e^{-i\theta} A$, as a real symmetric operator of order 2n.

    With S and K the symmetric and antisymmetric part it is $\cos\theta\, S - i \sin\theta\, K$, and on (Re x, Im x)
    that is $\begin{pmatrix} cS & sK \\ -sK & cS \end{pmatrix}$.
    """

    def __init__(self, A: LinearOperator, tol: float, max_matvecs: int | None, seed: int):
        self._A, self._tol, self._limit, self._seed = A, tol, max_matvecs, seed
        self.matvecs = 0

    def __call__(self, theta: float) -> tuple[float, complex, float, bool]:
        A, n = self._A, self._A.n
        c, s = math.cos(theta), math.sin(theta)

        def product(u: Tensor) -> Tensor:
            x, y = u[:n], u[n:]
            both = torch.cat([x.reshape(n, -1), y.reshape(n, -1)], dim=1)
            forth, back = A @ both, A.T @ both
            S, K = (forth + back) / 2, (forth - back) / 2
            (Sx, Sy), (Kx, Ky) = S.chunk(2, dim=1), K.chunk(2, dim=1)
            return torch.cat([c * Sx + s * Ky, c * Sy - s * Kx]).reshape(u.shape)

        hermitian = LinearOperator(product, 2 * n, A.dtype, A.device, matmat=product, symmetric=True)
        found = eigenvalues(hermitian, k=1, which="LA", tol=self._tol, max_matvecs=self._limit, seed=self._seed)
        # A product with the embedding multiplies two vectors by A and two by its transpose.
        self.matvecs += 4 * hermitian.matvecs + 4
        assert found.vectors is not None
        x = torch.complex(found.vectors[:n, 0], found.vectors[n:, 0])
        x = x / x.norm()
        value = complex(torch.vdot(x, A @ x))
        return float(found.values[0]), value, float(found.errors[0]), bool(found.converged[0])


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
    extent = max(float(np.ptp(values.real)), 2 * float(np.abs(values.imag).max()))
    margin = extent / 3 or float(np.abs(values).max()) / 3 or 1.0
    top = float(np.abs(values.imag).max()) + margin
    return float(values.real.min()) - margin, float(values.real.max()) + margin, -top, top


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
        v = solve_triangular(shifted, Q[-1], check_finite=False, trans="C")
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

"""The field of values W(A), or numerical range, which bounds transient growth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.eigen.dense import assemble
from gantools.analysis.eigen.eigenvalues import eigenvalues
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

MAX_WHOLE = 400


@dataclass(frozen=True)
class FieldOfValues:
    r"""The boundary of the field of values $\{x^* A x : \|x\| = 1\}$, a convex set that holds all eigenvalues.

    Attributes:
        boundary: (angles,) complex128, points of it, counterclockwise: a polygon inside.
        directions: (angles,) the angles $\theta$.
        support: (angles,) the largest $\mathrm{Re}(e^{-i\theta} z)$ in the set: half-planes, the polygon outside.
        errors: (angles,) bounds on the error of the support.
        converged: whether all of them are within the tolerance.
        eigenvalues: (n,) where the whole matrix was taken, else None.
        matvecs: products spent.
        n: order of the operator.
        dtype: of the products.
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
        """The largest modulus in the set, from below."""
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
        max_whole: largest n for which the whole matrix is formed; beyond, each angle is an eigenvalue problem of order
            2n.
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
        self.matvecs += 4 * hermitian.matvecs + 2
        assert found.vectors is not None
        x = torch.complex(found.vectors[:n, 0], found.vectors[n:, 0])
        x = x / x.norm()
        value = complex(torch.vdot(x, A @ x))
        return float(found.values[0]), value, float(found.errors[0]), bool(found.converged[0])

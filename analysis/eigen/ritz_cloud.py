"""Ritz values of a non-symmetric operator from several starts: a cheap outline of its spectrum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

TRUSTED = 1e-3  # largest residual of a value to rely on, relative to the largest product


@dataclass(frozen=True)
class RitzCloud:
    r"""Ritz values of several Krylov spaces.

    Attributes:
        values: (starts, steps) complex128: an outline of the spectrum, not a density; the inner ones need be near no
            eigenvalue.
        residuals: (starts, steps) float64, $\|A y - \theta y\|$ of unit y: $\theta$ is an eigenvalue of a matrix that
            differs from A by so little in norm.
        scale: the largest $\|A v\|$ seen.
        matvecs: products spent.
        seed: of the start vectors.
    """

    values: Tensor
    residuals: Tensor
    scale: float
    matvecs: int
    seed: int

    def __str__(self) -> str:
        starts, steps = self.values.shape
        found, small = self.values, len(self.trusted())
        return (
            f"{starts} starts of {steps} steps ({self.matvecs} products): real parts from {found.real.min():.4g} to "
            f"{found.real.max():.4g}, imaginary parts up to {found.imag.abs().max():.4g}. Residuals of {small} among "
            f"{found.numel()} are below {TRUSTED:g} of the largest product (a value counts once for each start that "
            "found it); the others outline where the spectrum lies."
        )

    def trusted(self, tol: float = TRUSTED) -> Tensor:
        """Return the values whose residual is within tol * scale."""
        return self.values[self.residuals <= tol * self.scale]


def ritz_cloud(A: LinearOperator, starts: int = 4, steps: int = 60, seed: int = 0) -> RitzCloud:
    """Return the Ritz values of `starts` Arnoldi runs (Arnoldi 1951) of `steps` products each.

    Args:
        A: the operator.
        starts: random start vectors.
        steps: products from each of them, at most n.
        seed: of the start vectors.

    Raises:
        GantoolsError: for no starts or steps, and for products that are not finite.
    """
    if starts < 1 or steps < 1:
        raise GantoolsError(f"starts = {starts} and steps = {steps} must both be at least 1.")
    steps = min(steps, A.n)
    values, residuals, scale, before = [], [], 0.0, A.matvecs
    for start in range(starts):
        basis = KrylovBasis(A, steps, torch.Generator().manual_seed(seed + start))
        basis.fill()
        found, vectors = (part.numpy() for part in torch.linalg.eig(torch.from_numpy(basis.square)))
        values.append(found)
        residuals.append(basis.residuals(vectors) / np.linalg.norm(vectors, axis=0))
        scale = max(scale, basis.scale)
    return RitzCloud(
        torch.from_numpy(np.array(values)), torch.from_numpy(np.array(residuals)), scale, A.matvecs - before, seed
    )

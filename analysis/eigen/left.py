r"""Condition numbers of eigenvalues, from left eigenvectors found by a search with the transpose.

$1 / |y^* x|$ for unit left and right eigenvectors y and x bounds how far a change of the operator moves the value, to
first order (Wilkinson 1965). From right vectors alone it is known from below only: on 200 x 200 matrices of condition
1e4 that bound, and the one within the Krylov space, are 60 to 600 times too small.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.eigen.search import SearchRequest, search
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.eigen.uncertainty import hinging
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.analysis.sharding.space import Space

Array = NDArray[Any]

LEFT_TOL = 1e-4


def matched(s: Spectrum, other: Spectrum, space: Space) -> tuple[Tensor, Array]:
    """Return left eigenvectors (n, k) and condition numbers (k,) of a spectrum; NaN where none was found.

    Args:
        s: with vectors.
        other: of the transpose, with vectors.
        space: of the vectors.
    """
    assert s.vectors is not None and other.vectors is not None
    left = torch.full_like(s.vectors, float("nan"))
    numbers = np.full(len(s), np.nan)
    values, found = s.values.numpy(), other.values.numpy()
    free = other.converged.numpy().copy()
    for i, value in enumerate(values):
        # y^* A = l y^* is A^T conj(y) = l conj(y).
        distance = np.where(free, np.abs(found - value), np.inf)
        j = int(distance.argmin())
        near = 1e3 * (float(s.residuals[i]) + float(other.residuals[j])) + 1e-6 * abs(value) + s.tol * s.scale
        if distance[j] <= near:
            free[j] = False
            left[:, i] = other.vectors[:, j].conj()
            overlap = _overlap(left[:, i], s.vectors[:, i], s.scales, space)
            numbers[i] = 1 / overlap if overlap > 0 else np.inf
    return left, numbers


def with_conditions(A: LinearOperator, s: Spectrum, request: SearchRequest, size: int) -> Spectrum:
    """Return the spectrum with `conditions` where the verdict on a value hinges on them: infinite where none was found.

    Without a transpose, and where nothing hinges, it is returned as it is.
    """
    needed = hinging(s)
    if s.symmetric or not needed.any() or not A.has_transpose:
        return s
    # A few digits of y tell the number, and what does not converge in as many products as x did is left undecided.
    limit = min(request.limit, 2 * s.matvecs + size)
    request = dataclasses.replace(
        request, k=len(s), tol=max(request.tol, LEFT_TOL), limit=limit, start=None, progress=lambda *_: None
    )
    other = search(A.T, request, max(size, min(2 * len(s) + 20, A.n - request.block)), request.seed + 1)
    numbers = matched(s, other, A.space)[1]
    conditions = torch.from_numpy(np.where(np.isnan(numbers) & needed, np.inf, numbers))
    spent = s.guard_matvecs + other.matvecs + other.check_matvecs
    return dataclasses.replace(s, conditions=conditions, guard_matvecs=spent)


def _overlap(y: Tensor, x: Tensor, scales: Tensor | None, space: Space) -> float:
    """Return |y* x| of a left and a right eigenvector (n,), each of unit length in the coordinates of the scales."""
    y, x = y.to(torch.complex128), x.to(torch.complex128)
    if scales is not None:
        y, x = y * scales, x / scales
    inner = torch.view_as_complex(space.total(torch.view_as_real(torch.vdot(y, x))))
    return float(inner.abs() / (space.norm(y) * space.norm(x)))

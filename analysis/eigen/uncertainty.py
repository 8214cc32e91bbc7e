r"""Bounds on the errors of eigenvalues, by which the sign of a real part, or of $|\mu| - 1$, can be judged.

An eigenvalue moves, to first order, by at most the size of a change of the matrix times the eigenvalue's condition
number $1 / |y^* x|$, with unit left and right eigenvectors y and x (Wilkinson 1965).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import eig

from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.krylov.gram_schmidt import ROUNDING

Array = NDArray[Any]

# Residual times condition number bounds an error to first order only, and a few vectors bound the number from below.
CAUTION = 10.0
# An eigenvalue nearer to the border of stability than so many errors hinges on its condition number; times the lower
# bound on that number, since the bound of a few vectors falls short by more the farther an operator is from normal.
HINGE = 1e4
# The condition number of such an eigenvalue that is assumed where none was computed, as a multiple of the lower bound.
UNKNOWN_CONDITION = 1e3
# From that lower bound on, an operator may be so far from normal that small residuals tell nothing.
FAR_FROM_NORMAL = 30.0


def negligible(epsilon: float, largest: float) -> float:
    """Return the error up to which an eigenvalue within its error of a border stands on it; beyond, that is undecided.

    Relative to the largest eigenvalue and not to the norm, of which eigenvalues far from normal are a small share.
    """
    return max(1e-6, 1e3 * epsilon) * largest


def decompose(matrix: Array, epsilon: float) -> tuple[Array, Array, Array]:
    """Return the eigenvalues (n,) of a square matrix (n, n), their errors (n,), and unit right eigenvectors (n, n)."""
    found: Any = eig(matrix, left=True, right=True, check_finite=False)
    values, left, right = found
    overlap = np.abs((left.conj() * right).sum(axis=0))
    with np.errstate(divide="ignore"):
        return values, _times(backward_error(matrix, epsilon), 1 / overlap, float(np.linalg.norm(matrix))), right


def values_and_errors(matrix: Array, epsilon: float) -> tuple[Array, Array]:
    """Return the eigenvalues (n,) of a square matrix and their errors (n,); zeros of zero rows and columns are exact.

    Args:
        matrix: (n, n).
        epsilon: of the dtype in which the matrix was computed.
    """
    kept = np.arange(len(matrix))
    while len(kept):
        part = matrix[np.ix_(kept, kept)] != 0
        alive = part.any(axis=0) & part.any(axis=1)
        if alive.all():
            break
        kept = kept[alive]
    values, errors = np.zeros(len(matrix), dtype=complex), np.zeros(len(matrix))
    if len(kept):
        part = matrix if len(kept) == len(matrix) else matrix[np.ix_(kept, kept)]
        values[: len(kept)], errors[: len(kept)], _ = decompose(part, epsilon)
    return values, errors


def backward_error(matrix: Array, epsilon: float) -> float:
    """Return the size of the change that rounding makes to a matrix (n, n): of its entries, and of LAPACK."""
    return (epsilon + len(matrix) ** 0.5 * float(np.finfo(float).eps)) * float(np.linalg.norm(matrix))


def margins(s: Spectrum) -> Array:
    """Return the errors (k,) within which the converged values of a spectrum are known.

    Of a whole symmetric spectrum they are 0: the gap between its zeros and the rest tells more than any bound
    (`gap_tolerance`). Of a whole matrix that is not symmetric they are its `errors`, condition numbers included. Those
    of other values are errors and rounding, times the condition number where it is known (`Spectrum.conditions`), else
    times a lower bound; where the verdict hinges on it, times a thousand, or as large as the operator where that bound
    is large too.
    """
    errors = s.errors[s.converged].numpy()
    if s.symmetric and s.complete:
        return np.zeros_like(errors)
    if s.seed is None and not s.symmetric:
        return errors
    rounding = ROUNDING * s.epsilon * s.scale
    if s.symmetric:
        return np.maximum(errors, rounding)
    good = s.converged.numpy()
    numbers, known = _least_conditions(s), np.full(len(errors), np.nan)
    if s.conditions is not None:
        known = s.conditions.numpy()[good]
    unknown = np.where(numbers >= FAR_FROM_NORMAL, np.inf, UNKNOWN_CONDITION * numbers)
    assumed = np.where(hinging(s)[good], unknown, 0.0)
    numbers = np.maximum(numbers, np.where(np.isnan(known), assumed, known))
    # To first order, whose validity ends well before the size of the operator.
    return np.minimum(np.maximum(CAUTION * errors, rounding) * numbers, s.scale)


def hinging(s: Spectrum) -> Array:
    """Return a mask (k,) of the converged values whose side of the border of stability hinges on their condition.

    Those near the border, and those of operators that the Krylov space shows to be far from normal.
    """
    values = s.values.numpy()
    away = np.abs(np.abs(values) - 1) if s.kind == "map" else np.abs(np.real(values))
    error = s.residuals.numpy() + s.epsilon * s.scale
    least = np.ones(len(s)) if s.least_conditions is None else s.least_conditions.numpy()
    needed = (away <= HINGE * error * least) | (least >= FAR_FROM_NORMAL)
    return s.converged.numpy() & needed & (np.abs(values) > ROUNDING * s.epsilon * s.scale)


def _least_conditions(s: Spectrum) -> Array:
    """Return lower bounds (k,) on the condition numbers: within the span of the converged vectors, or the basis."""
    least = np.ones(len(s)) if s.least_conditions is None else s.least_conditions.numpy()
    least = least[s.converged.numpy()]
    if s.vectors is None or len(s.vectors) != s.n:  # this process may hold a range of their entries only
        return least
    vectors = s.vectors if s.scales is None else s.vectors / s.scales[:, None]
    vectors = vectors[:, s.converged.to(vectors.device)].to("cpu", torch.complex128)
    vectors = vectors / torch.linalg.vector_norm(vectors, dim=0)
    triangle = torch.linalg.qr(vectors, mode="r")[1].numpy()
    inverse = np.linalg.pinv(triangle, rcond=1e-15)
    return np.maximum(np.linalg.norm(inverse, axis=1), least)


def _times(error: float | Array, numbers: Array, scale: float) -> Array:
    """Return an error of the matrix times condition numbers, at most as in a Jordan block of three values.

    A defective eigenvalue has an infinite condition number; a change by e yet moves it no further than about
    $e^{1/m}$ in a block of m, in units of the scale.
    """
    if scale == 0.0:
        return np.zeros_like(numbers)
    return np.minimum(error * numbers, scale * np.cbrt(error / scale))

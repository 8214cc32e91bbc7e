"""The whole matrix of an operator and its whole spectrum by LAPACK, for small problems."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.eigen.uncertainty import decompose, values_and_errors
from gantools.analysis.krylov.selection import criterion, leading
from gantools.analysis.operators.balanced import balanced, in_own_coordinates
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError
from gantools.signals import interruptibly

Array = NDArray[Any]

MAX_DENSE = 16384
LONG = 1500  # order from which LAPACK takes seconds


def spectrum(operator: LinearOperator, vectors: bool = False, limit: int = MAX_DENSE) -> Spectrum:
    """Compute all n eigenvalues from the assembled matrix, by LAPACK in float64 on the CPU.

    Args:
        operator: n products are spent on assembling it.
        vectors: also return the eigenvectors, and true residuals with them.
        limit: refuse larger n: the work grows as n^3, the memory as n^2.

    Returns:
        A complete `Spectrum`, sorted by real part, largest first.

    Raises:
        GantoolsError: when n exceeds `limit`, or a product is not finite.

    >>> gt.analysis.spectrum(gt.analysis.jacobian(game, batch)).values.imag
    tensor([ 1.0000, -1.0000,  0.5000, -0.5000], dtype=torch.float64)
    """
    return dense_eigenvalues(operator, operator.n, "LR", vectors, limit)


def dense_eigenvalues(operator: LinearOperator, k: int, which: str, vectors: bool, limit: int) -> Spectrum:
    """Compute the k best eigenvalues from the assembled matrix; see `eigenvalues` for the arguments."""
    even = balanced(operator)
    return in_own_coordinates(operator, _selected(even, assemble(even, limit), k, which, vectors))


def assemble(operator: LinearOperator, limit: int = MAX_DENSE) -> Array:
    """Return the matrix (n, n) in float64; of a symmetric operator its symmetric part, which halves the rounding."""
    n = operator.n
    if n > limit:
        copies = 3 if operator.symmetric else 8  # left and right eigenvectors, complex, besides the matrix
        raise GantoolsError(
            f"The whole {n} x {n} matrix needs {copies * 8 * n * n / 2**30:.0f} GiB and n^3 work, and the limit is "
            f"n = {limit}: ask for a few eigenvalues with eigenvalues(A, k=...), or raise limit=."
        )
    matrix = operator.dense().to(device="cpu", dtype=torch.float64).numpy()
    if not np.isfinite(matrix).all():
        raise GantoolsError(
            "The operator's matrix contains NaN or infinite values: check that the parameters and the batch are finite "
            "and that the loss is differentiable there."
        )
    return (matrix + matrix.T) / 2 if operator.symmetric else matrix


def _decompose(
    matrix: Array, symmetric: bool, vectors: bool, epsilon: float
) -> tuple[Array, Array | None, Array | None]:
    """Return eigenvalues (n,), right eigenvectors (n, n) if asked for, and errors (n,) if not symmetric."""
    if symmetric:
        if not vectors:
            return np.linalg.eigvalsh(matrix), None, None
        values, right = np.linalg.eigh(matrix)
        return values, right, None
    if vectors:
        values, errors, right = decompose(matrix, epsilon)
        return values, right, errors
    values, errors = values_and_errors(matrix, epsilon)
    return values, None, errors


def _selected(operator: LinearOperator, matrix: Array, k: int, which: str, vectors: bool) -> Spectrum:
    epsilon = operator.precision
    decompose = partial(_decompose, matrix, operator.symmetric, vectors, epsilon)
    values, right, errors = interruptibly(decompose) if len(matrix) > LONG else decompose()
    norm = float(np.linalg.norm(matrix))
    # LAPACK's backward error, plus the rounding of products in a lower precision.
    bound = operator.n * np.finfo(float).eps * norm + (epsilon * norm if epsilon > np.finfo(float).eps else 0.0)
    scale = float(np.abs(values).max() if operator.symmetric else np.linalg.norm(matrix, axis=0).max())
    chosen = leading(values, k, criterion(which, operator.symmetric))
    values = values[chosen]
    residuals = np.full(len(values), bound)
    if right is not None:
        right = right[:, chosen]
        residuals = np.linalg.norm(matrix @ right - right * values, axis=0)
    errors = residuals.copy() if errors is None else errors[chosen]
    return Spectrum(
        values=torch.from_numpy(values),
        residuals=torch.from_numpy(residuals),
        errors=torch.from_numpy(errors),
        converged=torch.ones(len(values), dtype=torch.bool),
        vectors=None if right is None else _to_operator(right, operator),
        which=which,
        tol=float(np.finfo(float).eps),
        dtype=operator.dtype,
        seed=None,
        kind=operator.kind,
        n=operator.n,
        scale=scale,
        complete=len(values) == operator.n,
        matvecs=operator.n,
        message="From the whole matrix, by LAPACK in float64.",
        parts=operator.slices,
        certified="All eigenvalues of the matrix were computed.",
        precision=epsilon,
    )


def _to_operator(right: Array, operator: LinearOperator) -> Tensor:
    dtype = operator.dtype.to_complex() if np.iscomplexobj(right) else operator.dtype
    return operator.space.own(torch.from_numpy(np.ascontiguousarray(right)).to(device=operator.device, dtype=dtype))

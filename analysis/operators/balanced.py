r"""An operator in balanced coordinates: the similar $S^{-1} A S$ for positive scales S, with the same eigenvalues."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantools.analysis.operators.linear_operator import LinearOperator

if TYPE_CHECKING:
    from gantools.analysis.eigen.spectrum import Spectrum


def balanced(A: LinearOperator) -> LinearOperator:
    """Return the operator in the coordinates of its `scales`, where it has them; vectors of it times them are A's."""
    if A.scales is None:
        return A
    scales = A.scales

    def product(u: Tensor) -> Tensor:
        return rows(1 / scales, A @ rows(scales, u))

    def transposed(u: Tensor) -> Tensor:
        return rows(scales, A.T @ rows(1 / scales, u))

    there = transposed if A.has_transpose else None
    made = LinearOperator(
        product, A.n, A.dtype, A.device, rmatvec=there, matmat=product, rmatmat=there, kind=A.kind
    )
    made.slices, made.parameters = A.slices, A.parameters
    return made


def in_own_coordinates(A: LinearOperator, solve: Callable[[LinearOperator], Spectrum]) -> Spectrum:
    """Solve for eigenvalues of the balanced operator, and return the result with the vectors of A itself."""
    if A.scales is None:
        return solve(A)
    found = solve(balanced(A))
    vectors = found.vectors
    if vectors is not None:
        vectors = rows(A.scales, vectors)
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=0)
    return dataclasses.replace(found, vectors=vectors, scales=A.scales)


def rows(factors: Tensor, u: Tensor) -> Tensor:
    """Return each row of a vector (n,) or block (n, k) times its factor (n,)."""
    return factors * u if u.dim() == 1 else factors[:, None] * u

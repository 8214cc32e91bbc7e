r"""An operator in balanced coordinates: the similar $S^{-1} A S$ for positive scales S, with the same eigenvalues."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

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
    options: dict[str, Any] = {"matmat": product, "rmatvec": there, "rmatmat": there, "kind": A.kind}
    made = LinearOperator(product, A.n, A.dtype, A.device, precision=A.precision, **options)
    made.slices, made.parameters = A.slices, A.parameters
    return made


def in_own_coordinates(A: LinearOperator, found: Spectrum) -> Spectrum:
    """Return the spectrum found of the balanced operator with the vectors, of unit length, of A itself."""
    if A.scales is None:
        return found
    vectors = found.vectors
    if vectors is not None:
        vectors = rows(A.scales, vectors)
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=0)
    return dataclasses.replace(found, vectors=vectors, scales=A.scales)


def rows(factors: Tensor, u: Tensor) -> Tensor:
    """Return each row of a vector (n,) or block (n, k) times its factor (n,)."""
    return factors * u if u.dim() == 1 else factors[:, None] * u

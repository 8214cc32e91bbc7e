r"""Eigenvalues of smallest modulus of symmetric operators of which memory holds a small basis only: shift-invert.

Lanczos converges to the outside of a spectrum; the outside of that of $A^{-1}$ belongs to the eigenvalues of A nearest
to zero. Each product with $A^{-1}$ is a linear system, solved by MINRES (Paige and Saunders 1975) from SciPy, on the
host, which keeps no basis. A Hessian with a dense cluster at zero is nearly singular there, and no solve converges: the
the values returned then have large residuals, and are marked as not converged.
"""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import numpy as np
import scipy.sparse.linalg as host
import torch
from torch import Tensor

from gantools.analysis.eigen.search import SearchRequest, search
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.krylov.ritz import accepted
from gantools.analysis.krylov.selection import leading
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError


class Inverse(LinearOperator):
    """The inverse of a symmetric operator; each product is an iterative solve.

    Args:
        A: the operator.
        tol: relative residual of the solves.
        inner_limit: products with A for each solve, about.

    Attributes:
        failures: solves that stopped before `tol`.
    """

    def __init__(self, A: LinearOperator, tol: float, inner_limit: int):
        super().__init__(self._solve, A.n, dtype=A.dtype, device=A.device, symmetric=A.symmetric, kind=A.kind)
        self._forward = A
        self._tol = max(tol, 10 * A.precision)
        self._limit = inner_limit
        self.failures = 0

    def _solve(self, b: Tensor) -> Tensor:
        A, right = self._forward, b.double().cpu().numpy()

        def matvec(u: np.ndarray) -> np.ndarray:
            product = A @ torch.from_numpy(np.ascontiguousarray(u.reshape(-1))).to(dtype=A.dtype, device=A.device)
            return product.double().cpu().numpy()

        operator = cast(Any, host.LinearOperator)(A.shape, matvec=matvec, dtype=np.float64)
        x, info = host.minres(operator, right, rtol=self._tol, maxiter=self._limit)
        if not np.isfinite(x).all():
            raise GantoolsError(
                "A linear system with the operator has no finite solution: its products contain NaN or infinite values."
            )
        self.failures += info != 0
        norm = np.linalg.norm(x)
        if norm == 0.0:
            raise GantoolsError("The operator is zero: every eigenvalue is 0, and which='SM' has nothing to choose.")
        return torch.from_numpy(x).to(dtype=A.dtype, device=A.device)


INNER_LIMIT = 2000


def shift_invert(A: LinearOperator, request: SearchRequest, size: int) -> Spectrum:
    """Compute the eigenvalues nearest to zero: the inverse's largest, with quotients and residuals from A itself."""
    before = A.matvecs
    inverse = Inverse(A, min(1e-2 * request.tol, 1e-8), inner_limit=INNER_LIMIT)
    # Two more than asked for: they tell the gaps.
    outside = dataclasses.replace(request, k=request.k + 2, name="LM", limit=min(request.limit, 3 * size))
    found = search(inverse, outside, size, request.seed)
    assert found.vectors is not None
    vectors = found.vectors
    product = A @ vectors
    values = (vectors.double() * product.double()).sum(dim=0).cpu().numpy()
    shifted = vectors * torch.as_tensor(values).to(vectors)
    residuals = torch.linalg.vector_norm(product - shifted, dim=0).double().cpu().numpy()
    scale = max(found.scale and 1 / found.scale, float(torch.linalg.vector_norm(product, dim=0).max()))
    apart = np.abs(values[:, None] - values) + np.diag(np.full(len(values), np.inf))
    # Parlett's bound: these gaps are between values that converged.
    gap = np.maximum(apart.min(axis=1) - residuals, 0.0)
    errors = np.where(gap > residuals, residuals**2 / np.maximum(gap, 1e-300), residuals)
    good = accepted(errors, values, request.tol, scale, A.precision, slack=1.0)
    chosen = leading(values, request.k, "SM")
    order = torch.from_numpy(chosen)
    words = "Converged, by shift-invert."
    if not good[chosen].all():
        words = (
            f"Only {int(good[chosen].sum())} of {request.k} converged: {inverse.failures} inner solves did not; the "
            "spectrum is too dense near zero for products alone (use index or spectral_density, or raise dense_limit=)."
        )
    fields = {"values": values, "residuals": residuals, "errors": errors, "converged": good}
    arrays: dict[str, Any] = {name: torch.from_numpy(array)[order] for name, array in fields.items()}
    spent = {"matvecs": A.matvecs - before - len(values), "check_matvecs": len(values)}
    vectors = vectors[:, order.to(vectors.device)]
    return dataclasses.replace(found, **arrays, **spent, vectors=vectors, which="SM", scale=scale, message=words)

r"""Eigenvalues of smallest modulus of operators too large for their whole matrix: shift-invert by iterative solves.

Lanczos and Krylov-Schur converge to the outside of a spectrum; that of $A^{-1}$ is what lies nearest to zero. Each of
its products is a linear system, solved by MINRES (Paige and Saunders 1975) or GMRES (Saad and Schultz 1986) from SciPy,
on the host. A Hessian with a dense cluster at zero is nearly singular there, and no such solve converges: what is
returned then has large residuals, and is marked as not converged.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import scipy.sparse.linalg as host
import torch
from torch import Tensor

from gantools.analysis.linear_operator import LinearOperator
from gantools.errors import GantoolsError


class Inverse(LinearOperator):
    """Products with the inverse of an operator, as exact as the inner solver gets.

    Attributes:
        failures: solves that stopped before `tol`.
    """

    def __init__(self, A: LinearOperator, tol: float, inner_limit: int):
        super().__init__(self._solve, A.n, dtype=A.dtype, device=A.device, symmetric=A.symmetric, kind=A.kind)
        self._forward = A
        self._tol = max(tol, 10 * float(torch.finfo(A.dtype).eps))
        self._limit = inner_limit
        self.failures = 0

    def _solve(self, b: Tensor) -> Tensor:
        A, right = self._forward, b.double().cpu().numpy()

        def matvec(u: np.ndarray) -> np.ndarray:
            product = A @ torch.from_numpy(np.ascontiguousarray(u.reshape(-1))).to(dtype=A.dtype, device=A.device)
            return product.double().cpu().numpy()

        operator = cast(Any, host.LinearOperator)(A.shape, matvec=matvec, dtype=np.float64)
        if A.symmetric:
            x, info = host.minres(operator, right, rtol=self._tol, maxiter=self._limit)
        else:
            restart = min(self._limit, 100, A.n)
            cycles = max(1, self._limit // restart)
            x, info = host.gmres(operator, right, rtol=self._tol, restart=restart, maxiter=cycles)
        if not np.isfinite(x).all():
            raise GantoolsError(
                "A linear system with the operator has no finite solution: its products contain NaN or infinite values."
            )
        self.failures += info != 0
        norm = np.linalg.norm(x)
        if norm == 0.0:
            raise GantoolsError("The operator is zero: every eigenvalue is 0, and which='SM' has nothing to choose.")
        return torch.from_numpy(x).to(dtype=A.dtype, device=A.device)
